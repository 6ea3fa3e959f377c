import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.apache.lucene.analysis.CharArraySet;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.index.IndexSettings;
import org.elasticsearch.index.analysis.AbstractIndexAnalyzerProvider;
import org.elasticsearch.index.analysis.Analysis;
import org.elasticsearch.index.analysis.AnalyzerProvider;
import org.elasticsearch.index.analysis.PreBuiltAnalyzerProviderFactory;
import org.elasticsearch.index.mapper.MapperExtrasPlugin;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.indices.analysis.PreBuiltCacheFactory.CachingStrategy;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.reindex.ReindexPlugin;
import org.elasticsearch.transport.Netty4Plugin;

/**
 * One Elasticsearch node inside this process, gone as soon as the process that started it is gone.
 *
 * <p>Arguments: the node's settings as {@code name=value}; a list is separated by commas.
 */
public final class TestNode {

    private static final List<Class<? extends Plugin>> PLUGINS =
            List.of(Netty4Plugin.class, ReindexPlugin.class, MapperExtrasPlugin.class, EnglishPlugin.class);

    private static final long PARENT_CHECK_MILLIS = 200;

    private TestNode() {}

    public static void main(String[] arguments) throws Exception {
        dieWithParent();
        Settings.Builder settings = Settings.builder();
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            settings.put(argument.substring(0, equals), argument.substring(equals + 1));
        }
        Environment environment =
                InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), null, () -> "test");
        Node node = new PluggedNode(environment, PLUGINS);
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception failure) {
                failure.printStackTrace();
            }
            closed.countDown();
        }));
        node.start();
        // The node's own threads may be daemons; this one keeps the process alive until it is told to stop.
        closed.await();
    }

    /** Whoever is killed cannot stop its children, but they are handed to another parent at that moment. */
    private static void dieWithParent() {
        long parent = Long.getLong("parent.pid");
        Thread watch = new Thread(() -> {
            while (ProcessHandle.current().parent().map(ProcessHandle::pid).orElse(0L) == parent) {
                try {
                    Thread.sleep(PARENT_CHECK_MILLIS);
                } catch (InterruptedException ignored) {
                    break;
                }
            }
            Runtime.getRuntime().halt(1);
        }, "parent-watch");
        watch.setDaemon(true);
        watch.start();
    }

    /** The constructor that takes plugins from the class path is open to subclasses only. */
    private static final class PluggedNode extends Node {
        PluggedNode(Environment environment, Collection<Class<? extends Plugin>> plugins) {
            super(environment, plugins, false);
        }
    }

    /**
     * The analyzer {@code english}, by name and as a type with {@code stopwords} and {@code stem_exclusion}.
     *
     * <p>In the full distribution it belongs to a module that is not published as a jar.
     */
    public static final class EnglishPlugin extends Plugin implements AnalysisPlugin {
        @Override
        public Map<String, AnalysisProvider<AnalyzerProvider<? extends org.apache.lucene.analysis.Analyzer>>>
                getAnalyzers() {
            return Map.of("english", EnglishProvider::new);
        }

        @Override
        public List<PreBuiltAnalyzerProviderFactory> getPreBuiltAnalyzerProviderFactories() {
            return List.of(
                    new PreBuiltAnalyzerProviderFactory("english", CachingStrategy.LUCENE, EnglishAnalyzer::new));
        }
    }

    private static final class EnglishProvider extends AbstractIndexAnalyzerProvider<EnglishAnalyzer> {
        private final EnglishAnalyzer analyzer;

        EnglishProvider(IndexSettings index, Environment environment, String name, Settings settings) {
            super(index, name, settings);
            analyzer = new EnglishAnalyzer(
                    Analysis.parseStopWords(environment, settings, EnglishAnalyzer.getDefaultStopSet()),
                    Analysis.parseStemExclusion(settings, CharArraySet.EMPTY_SET));
        }

        @Override
        public EnglishAnalyzer get() {
            return analyzer;
        }
    }
}
