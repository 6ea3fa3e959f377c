"""What both stores promise of documents: writing, reading, filtering, ranking, deleting."""

from __future__ import annotations

import pytest
from haystack.errors import DuplicateDocumentError
from haystack.nodes import BM25Retriever
from haystack.schema import Document

from qa_app.errors import InvalidRequestError, NotFoundError
from qa_app.stores.passage_store import PassageStore

RIVERS = [
    Document(
        id="1",
        content="The Rhône runs through Lyon and Avignon.",
        meta={"lang": "en", "year": 2020, "tags": ["a", "b"]},
    ),
    Document(
        id="2", content="The Loire is the longest river of France.", meta={"lang": "en", "year": 2021, "open": True}
    ),
    Document(id="3", content="Die Elbe fließt durch Hamburg.", meta={"lang": "de", "year": 2019.5, "tags": ["b"]}),
    Document(id="4", content="The Thames passes Oxford, Reading and London.", meta={"year": "2020", "open": False}),
]


@pytest.fixture
def rivers(store: PassageStore) -> PassageStore:
    store.write_documents(RIVERS)
    return store


def ids(documents: list[Document]) -> set[str]:
    return {document.id for document in documents}


def test_written_documents_come_back_unchanged(rivers: PassageStore) -> None:
    """What was written is read back with content, metadata and hash keys as they were."""
    assert sorted(rivers.get_all_documents(), key=lambda d: d.id) == RIVERS
    assert rivers.get_document_by_id("3") == RIVERS[2]
    assert rivers.get_documents_by_id(["4", "nobody", "1"]) == [RIVERS[3], RIVERS[0]]
    assert rivers.get_document_by_id("nobody") is None
    assert rivers.get_document_count() == 4


def test_an_empty_store_answers_everything_with_nothing(store: PassageStore) -> None:
    """Reading, counting, searching and deleting in a store without a single document neither fail nor invent."""
    assert store.get_all_documents() == []
    assert store.get_document_count() == 0
    assert store.query("river") == []
    assert store.query("?!") == []
    assert list(store.get_all_files()) == []
    assert store.get_file("nobody") is None
    assert store.get_all_labels() == []
    assert store.get_label_count() == 0
    assert store.get_metadata_values_by_key("lang") == []
    store.delete_documents(ids=["nobody"])
    assert store.delete_files(["nobody"]) == 0


def test_overwrite_skip_and_fail(rivers: PassageStore) -> None:
    """A document that is there already is replaced, kept or refused, as asked."""
    changed = Document(id="1", content="The Rhône ends in a delta.", meta={"lang": "fr"})
    rivers.write_documents([changed], duplicate_documents="skip")
    assert rivers.get_document_by_id("1") == RIVERS[0]
    with pytest.raises(DuplicateDocumentError):
        rivers.write_documents([changed, Document(id="9", content="new")], duplicate_documents="fail")
    assert rivers.get_document_by_id("9") is None
    rivers.write_documents([changed])
    assert rivers.get_document_by_id("1") == changed
    assert rivers.get_document_count() == 4
    assert ids(rivers.query("Avignon")) == set()
    assert ids(rivers.query("delta")) == {"1"}
    with pytest.raises(InvalidRequestError, match="merge"):
        rivers.write_documents([changed], duplicate_documents="merge")


@pytest.mark.case("B15")
def test_metadata_never_touch_content(store: PassageStore) -> None:
    """Metadata keys named like a document's own fields stay metadata."""
    hostile = {
        "content": "fake",
        "content_type": "table",
        "id": "other",
        "score": 7,
        "embedding": [1],
        "a.b": 1,
        "a": 2,
        "_id": "x",
    }
    store.write_documents([Document(id="1", content="the true words", meta=hostile)])
    found = store.get_document_by_id("1")
    assert found is not None
    assert found.content == "the true words"
    assert found.meta == hostile
    assert ids(store.query("true words")) == {"1"}
    assert store.query("fake") == []
    assert store.get_document_count(filters={"content": "fake"}) == 1
    assert store.get_document_count(filters={"a.b": 1}) == 1


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"lang": "en"}, "12"),
        ({"lang": {"$eq": "de"}}, "3"),
        ({"lang": ["en", "de"]}, "123"),
        ({"lang": {"$in": ["en", "fr"]}}, "12"),
        ({"lang": {"$ne": "en"}}, "34"),
        ({"lang": {"$nin": ["en", "de"]}}, "4"),
        ({"year": 2020}, "1"),
        ({"year": "2020"}, "4"),
        ({"year": 2020.0}, "1"),
        ({"year": {"$gte": 2020}}, "12"),
        ({"year": {"$gt": 2019, "$lt": 2020}}, "3"),
        ({"year": {"$lte": 2020}}, "13"),
        ({"year": {"$gte": "2020"}}, "4"),
        ({"lang": {"$gt": "de"}}, "12"),
        ({"open": True}, "2"),
        ({"open": False}, "4"),
        ({"open": {"$ne": True}}, "134"),
        ({"tags": "b"}, "13"),
        ({"tags": ["a", "x"]}, "1"),
        ({"tags": {"$eq": ["b"]}}, "3"),
        ({"tags": {"$eq": ["b", "a"]}}, "1"),
        ({"tags": {"$ne": ["b"]}}, "124"),
        ({"$or": {"lang": "de", "open": True}}, "23"),
        ({"$or": [{"lang": "de"}, {"$and": [{"lang": "en"}, {"year": 2020}]}]}, "13"),
        ({"$not": {"lang": "en"}}, "34"),
        ({"$not": [{"lang": "en"}, {"lang": "de"}]}, "4"),
        ({"$and": {"lang": "en", "$not": {"open": True}}}, "1"),
        ({"lang": {"$not": {"$in": ["en"]}}}, "34"),
        ({"lang": "en", "year": {"$gt": 2020}}, "2"),
        ({"nowhere": 1}, ""),
        ({"year": {"$gte": -1e300}}, "123"),
        ({"year": {"$gt": -5}}, "123"),
    ],
)
def test_filters(rivers: PassageStore, filters: dict[str, object], expected: str) -> None:
    """Every operator of Haystack's filter language chooses exactly the documents that it describes."""
    assert ids(rivers.get_all_documents(filters=filters)) == set(expected)
    assert rivers.get_document_count(filters=filters) == len(expected)
    assert ids(rivers.query("the river Rhône Loire Elbe Thames", filters=filters)) == set(expected)
    assert ids(rivers.query(None, filters=filters)) == set(expected)


@pytest.mark.case("B4", "D5")
@pytest.mark.parametrize(
    "filters",
    [
        {"lang": {"$foo": 1}},
        {"$nor": [{"lang": "en"}]},
        {"lang": {}},
        {"$and": {}},
        {"$or": []},
        {"$and": "lang"},
        {"lang": {"$in": "en"}},
        {"lang": []},
        {"lang": None},
        {"lang": {"$gt": True}},
        {"lang": {"$eq": {"a": 1}}},
        {"year": float("nan")},
        {"": 1},
        {'q"': 1},
        [{"lang": "en"}],
        "lang",
        {"lang": "x" * 5000},
    ],
)
def test_what_is_not_in_the_filter_language_is_an_error(rivers: PassageStore, filters: object) -> None:
    """An unknown operator, an empty clause or a wrong value is refused everywhere and never matches everything."""
    for call in (
        rivers.get_all_documents,
        rivers.get_document_count,
        rivers.delete_documents,
        rivers.delete_all_documents,
    ):
        with pytest.raises(InvalidRequestError):
            call(filters=filters)
    with pytest.raises(InvalidRequestError):
        rivers.query("river", filters=filters)
    assert rivers.get_document_count() == 4


@pytest.mark.case("B4")
def test_deep_and_wide_filters_are_refused(rivers: PassageStore) -> None:
    """A filter nested two thousand deep or with ten thousand clauses is an error, not a crash."""
    deep: dict[str, object] = {"lang": "en"}
    for _ in range(2000):
        deep = {"$and": [deep]}
    with pytest.raises(InvalidRequestError, match="deep"):
        rivers.get_all_documents(filters=deep)
    with pytest.raises(InvalidRequestError, match="clauses"):
        rivers.get_all_documents(filters={"lang": [str(i) for i in range(10_000)]})


def test_best_match_comes_first(rivers: PassageStore) -> None:
    """BM25 puts the document with the rare word first, and scores fall from there."""
    found = rivers.query("Which river passes Oxford?", top_k=3)
    assert found[0].id == "4"
    scores = [document.score for document in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0.5 < score < 1 for score in scores if score)
    raw = rivers.query("Which river passes Oxford?", top_k=3, scale_score=False)
    assert [document.id for document in raw] == [document.id for document in found]
    assert len(rivers.query("the river", top_k=1)) == 1


def test_words_match_in_any_form(rivers: PassageStore) -> None:
    """English words are found by their stem and in any case."""
    assert ids(rivers.query("RIVERS")) == {"2"}
    assert ids(rivers.query("passing")) == {"4"}


def test_every_word_must_match_when_asked(rivers: PassageStore) -> None:
    """With all_terms_must_match a document needs every word of the question."""
    assert ids(rivers.query("longest river Hamburg", all_terms_must_match=True)) == set()
    assert ids(rivers.query("longest river", all_terms_must_match=True)) == {"2"}


@pytest.mark.case("B13")
@pytest.mark.parametrize(
    "query",
    ["", " ", "?!", "the", '"', "a OR b*", "NEAR(x)", "content:x", "💥", "x" * 5000, "${query}", "{{7*7}}", "\u202e"],
)
def test_any_text_is_a_question(rivers: PassageStore, query: str) -> None:
    """No text, however odd, is read as a search syntax or fails."""
    assert isinstance(rivers.query(query), list)


@pytest.mark.case("B13")
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("Oxford -river", "Oxford river"),
        ("Oxford NOT river", "Oxford river"),
        ('"river Oxford"', "river Oxford"),
        ("Oxf*", "Oxf"),
        ("Oxfort~2", "Oxfort"),
        ("/O.*d/", "O d"),
        ("content: Oxford AND id: 1", "content Oxford id 1"),
        ("(Oxford OR) river^9", "Oxford river 9"),
        ("Oxford NEAR/2 river", "Oxford near 2 river"),
        ("^Oxford + {river}", "Oxford river"),
        ("name:*", "name"),
        ('{"match_all": {}}', "match_all"),
        ("Oxford'; DROP TABLE passages_1; --", "Oxford DROP TABLE passages_1"),
    ],
)
def test_operators_are_words_or_nothing(rivers: PassageStore, query: str, words: str) -> None:
    """What operators of either store's search language surround is found as without them."""
    assert [found.id for found in rivers.query(query)] == [found.id for found in rivers.query(words)]


@pytest.mark.case("B6")
def test_a_question_of_ten_thousand_words(rivers: PassageStore) -> None:
    """A very long question is searched by its first words."""
    assert rivers.query("Oxford " + " ".join(f"word{i}" for i in range(10_000)))[0].id == "4"


@pytest.mark.case("B5")
@pytest.mark.parametrize("top_k", [0, -1, True, "5", 2.5, 10**9])
def test_top_k_is_a_sensible_number(rivers: PassageStore, top_k: object) -> None:
    """A top_k that is no whole number from 1 on is an error."""
    with pytest.raises(InvalidRequestError, match="top_k"):
        rivers.query("river", top_k=top_k)


def test_deleting_by_id_and_filter(rivers: PassageStore) -> None:
    """Exactly the named documents go, and an empty list of ids names none."""
    rivers.delete_documents(ids=[])
    assert rivers.get_document_count() == 4
    rivers.delete_documents(ids=["1", "4"], filters={"lang": "en"})
    assert ids(rivers.get_all_documents()) == {"2", "3", "4"}
    rivers.delete_documents(filters={"year": "2020"})
    assert ids(rivers.get_all_documents()) == {"2", "3"}
    assert rivers.query("Oxford") == []
    rivers.delete_documents(ids=["2"])
    rivers.delete_documents(ids=["2"])
    assert ids(rivers.get_all_documents()) == {"3"}


@pytest.mark.case("D5")
def test_deleting_everything_is_its_own_call(rivers: PassageStore) -> None:
    """Neither nothing nor an empty filter deletes everything; the explicit call does."""
    with pytest.raises(InvalidRequestError):
        rivers.delete_documents()
    with pytest.raises(InvalidRequestError):
        rivers.delete_documents(filters={})
    with pytest.raises(InvalidRequestError):
        rivers.delete_all_documents(filters={})
    assert rivers.get_document_count() == 4
    rivers.delete_all_documents()
    assert rivers.get_document_count() == 0
    rivers.write_documents(RIVERS[:1])
    assert ids(rivers.query("Lyon")) == {"1"}


def test_indexes_are_apart(rivers: PassageStore) -> None:
    """What is written into one index is not seen in another, and deleting one leaves the other."""
    rivers.write_documents([Document(id="1", content="Basalt is a volcanic rock.")], index="rocks")
    assert rivers.get_document_count(index="rocks") == 1
    assert rivers.get_document_by_id("1") == RIVERS[0]
    assert ids(rivers.query("basalt", index="rocks")) == {"1"}
    assert rivers.query("basalt") == []
    assert {rivers.index, "rocks"} <= set(rivers.get_indexes())
    rivers.delete_index("rocks")
    assert rivers.get_document_count(index="rocks") == 0
    assert "rocks" not in rivers.get_indexes()
    assert rivers.get_document_count() == 4


def test_metadata_can_be_changed(rivers: PassageStore) -> None:
    """New metadata are merged with the old, found by filters at once, and checked."""
    rivers.update_document_meta("2", {"lang": "fr", "source": "atlas"})
    assert rivers.get_document_by_id("2").meta == {"lang": "fr", "year": 2021, "open": True, "source": "atlas"}
    assert ids(rivers.get_all_documents(filters={"lang": "fr"})) == {"2"}
    assert ids(rivers.get_all_documents(filters={"lang": "en"})) == {"1"}
    with pytest.raises(NotFoundError):
        rivers.update_document_meta("nobody", {"a": 1})
    with pytest.raises(InvalidRequestError):
        rivers.update_document_meta("2", {"a": "x" * 5000})


def test_values_of_a_metadata_field_are_counted(rivers: PassageStore) -> None:
    """Facets count every value of a field, by type, narrowed by query and filter."""

    def values(**how: object) -> list[tuple[object, int]]:
        return [(v["value"], v["count"]) for v in rivers.get_metadata_values_by_key(**how)]

    assert values(key="lang") == [("en", 2), ("de", 1)]
    assert values(key="tags") == [("b", 2), ("a", 1)]
    assert set(values(key="year")) == {(2019.5, 1), (2020, 1), ("2020", 1), (2021, 1)}
    assert values(key="lang", filters={"tags": "b"}) == [("de", 1), ("en", 1)]
    assert values(key="lang", query="Loire") == [("en", 1)]
    assert values(key="nowhere") == []


@pytest.mark.case("B15", "E9")
@pytest.mark.parametrize(
    "meta",
    [
        {"k" * 300: 1},
        {"k": "v" * 5000},
        {f"k{i}": i for i in range(200)},
        {f"k{i}": "€" * 1000 for i in range(100)},
        {"deep": {"k": float("nan")}},
        {"k": float("nan")},
        {"k": float("inf")},
        {"k": 2**60},
        {"k": "\ud800"},
        {"k": "a\x00b"},
        {"k": object()},
        {"": 1},
        {"$k": 1},
    ],
)
def test_metadata_over_the_limits_are_refused(store: PassageStore, meta: dict[str, object]) -> None:
    """Metadata that one of the stores could not keep or filter are refused by both, and nothing is written."""
    with pytest.raises(InvalidRequestError):
        store.write_documents([Document(id="1", content="fine"), Document(id="2", content="text", meta=meta)])
    assert store.get_document_count() == 0


def test_nested_metadata_are_kept(store: PassageStore) -> None:
    """Nested metadata, such as Haystack's PreProcessor writes, come back as they were."""
    meta = {"_split_overlap": [{"doc_id": "x", "range": [0, 5]}], "deep": {"a": {"b": 1}}, "none": None}
    store.write_documents([Document(id="1", content="text", meta=meta)])
    assert store.get_document_by_id("1").meta == meta
    for filters in ({"deep": 1}, {"_split_overlap": "x"}, {"none": False}):
        assert store.get_document_count(filters=filters) == 0
    store.write_documents([Document(id="2", content="text", meta={"deep": {"a": 1}, "mixed": [1, {"a": 2}]})])
    assert store.get_document_count(filters={"$or": {"deep": 1, "mixed": 1}}) == 0
    assert store.get_document_count(filters={"$not": {"mixed": 1}}) == 2


@pytest.mark.case("F16")
@pytest.mark.parametrize(
    "text",
    [
        "naïve café e\u0301",
        "日本語のテキスト",
        "العربية \u202e mixed",
        "👨‍👩‍👧 family\u200d",
        "a\x00b",
        "\ufeffbom",
        "tabs\tand\r\nlines\x0c",
        "𝒳 math",
        "İstanbul ı",
    ],
)
def test_odd_unicode_survives(store: PassageStore, text: str) -> None:
    """Every text comes back code point by code point, in content, metadata and names of indexes' fields."""
    note = text.replace("\x00", "")
    store.write_documents([Document(id="1", content=text, meta={"note": note})])
    found = store.get_document_by_id("1")
    assert found.content == text
    assert found.meta["note"] == note
    assert store.get_document_count(filters={"note": note}) == 1


@pytest.mark.case("F15")
def test_half_a_surrogate_pair_is_refused(store: PassageStore) -> None:
    """What is not text is an error that says so."""
    with pytest.raises(InvalidRequestError, match="surrogate"):
        store.write_documents([Document(id="1", content="x\ud800y")])


def test_haystacks_retriever_takes_the_store(rivers: PassageStore) -> None:
    """Haystack's own BM25Retriever retrieves from the store, one question or many."""
    retriever = BM25Retriever(document_store=rivers, top_k=2)
    assert retriever.retrieve("Which river passes Oxford?")[0].id == "4"
    batches = retriever.retrieve_batch(["Oxford", "Hamburg"], filters=[{"open": False}, None])
    assert [[document.id for document in batch] for batch in batches] == [["4"], ["3"]]


def test_scores_do_not_linger(rivers: PassageStore) -> None:
    """A document's score belongs to a query and is not stored."""
    found = rivers.query("Oxford")[0]
    rivers.write_documents([found])
    assert rivers.get_document_by_id("4").score is None
