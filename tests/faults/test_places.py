"""Answers are the words at their places: through every format, cutting, both stores and reading, however one counts."""

from __future__ import annotations

import html
import json
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright._impl._driver import compute_driver_executable  # its Node counts as browsers do

from qa_app.converters.extraction import normalise
from qa_app.reading.reader import PassageReader
from qa_app.reading.resolution import BUNDLED_FOLDER
from tests import make_bad
from tests.faults.table import Figure
from tests.ingesting import ingesting, settings_for, write
from tests.serving import serving
from tests.unit.reading.tiny import save_random_reader
from tests.unit.splitting.texts import PIECES
from ui import selection

#: What the pieces for cutting lack: directions, families, signs of many parts, twins that look alike, and line ends.
MORE = [
    "He said \u2067בנה את המגדל\u2069 in 1904. ", "\u202dabc\u202c \u202edcba\u202c \u200f\u200e", "مُحَمَّدٌ بَنَى البُرْجَ. ",
    "👨🏽‍🚀 👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ❤️ ☎︎ 🇩🇪🇫🇷 ", "é e\u0301 \u0065\u0323\u0302 ệ ", "Å \u212b A\u030a ", "ﬁ ﬂ ﬃ fi fl ",
    "각 \u1100\u1161\u11a8 ", "क्षि ௹ กำ ", "ǆ ǅ ß ẞ İ ı ",
    "a\u0300\u0301\u0302\u0303\u0304\u0305\u0306z ", "𝒜𝔟𝕔 𐍈 \U0001f9ec ",
    "one\r\ntwo\rthree\n\rfour\x0bfive\x85six\u2028seven\u2029", "\ufeffx\ufeff\u00ad\u2060\u180e",
    "Anna Berg built it. ",
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES + MORE), st.text(max_size=12)), min_size=1, max_size=30).map("".join)


def _for_xml(text: str) -> str:
    return html.escape(
        "".join(sign for sign in text if sign in "\t\n" or unicodedata.category(sign) not in {"Cc", "Cn"})
    )


FORMATS: dict[str, Callable[[str], bytes]] = {
    "a.txt": lambda text: text.encode("utf-8-sig"),
    "b.txt": lambda text: text.encode("utf-16"),
    "c.md": lambda text: text.encode(),
    "d.html": lambda text: f"<html><meta charset=utf-8><p>{html.escape(text)}<pre>{html.escape(text)}".encode(),
    "e.docx": lambda text: make_bad.word(make_bad.paragraph(_for_xml(text)) * 2),
    "f.pdf": make_bad.unicode_pdf,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader with the bundled one's tokenizer that marks spans anywhere."""
    return save_random_reader(tmp_path_factory.mktemp("random") / "model", BUNDLED_FOLDER)


@pytest.mark.case("F16")
@pytest.mark.timeout(5400)
@pytest.mark.parametrize(
    ("kind", "few"), [("sqlite", 100), pytest.param("elasticsearch", 5, marks=pytest.mark.elasticsearch)]
)
def test_f16_any_text_in_any_format(
    request: pytest.FixtureRequest,
    model: Path,
    tmp_path: Path,
    kind: str,
    few: int,
    long: bool,
    figure: Figure,
) -> None:
    """Whatever a file says, passages are its very words, and answers those at their places in passage and file."""
    url = request.getfixturevalue("elasticsearch_url") if kind == "elasticsearch" else None
    reader = PassageReader(str(model), engine="torch", top_k=10, max_seq_len=100, doc_stride=30)
    seen: Counter[str] = Counter()

    @settings(max_examples=2000 if long else few, deadline=None, suppress_health_check=list(HealthCheck))
    @given(TEXTS, st.sampled_from(sorted(FORMATS)))
    def holds(given_text: str, name: str) -> None:
        (folder / name).write_bytes(FORMATS[name](given_text))
        [result] = ingest(folder).files
        (folder / name).unlink()
        seen["texts"] += 1
        if result.status == "rejected":
            assert result.reason in {"empty_file", "no_text", "unsupported_type", "too_deep", "encoding", "corrupt"}, (
                result
            )
            return
        [stored] = ingest.store.get_all_files()
        file = ingest.store.get_file(stored.id)
        passages = ingest.store.get_file_passages(stored.id)
        if name == "a.txt":
            assert file.content == normalise(given_text)
        for passage in passages:
            assert file.content[passage.meta["start"] : passage.meta["end"]] == passage.content
        contents = {passage.id: passage.content for passage in passages}
        for answer in reader.predict("Who built the tower?", passages)["answers"]:
            if not answer.document_ids:
                continue
            seen["answers"] += 1
            content = contents[answer.document_ids[0]]
            [place], [within] = answer.offsets_in_document, answer.offsets_in_context
            assert content[place.start : place.end] == answer.answer != ""
            assert answer.context[within.start : within.end] == answer.answer
            assert file.content[answer.meta["answer_start"] : answer.meta["answer_end"]] == answer.answer
        ingest.store.delete_files([stored.id])

    folder = tmp_path / "papers"
    folder.mkdir()
    options = settings_for(
        tmp_path / "data", url, index=f"places-{tmp_path.name.lower()}", passage_words=40, passage_overlap=10
    )
    with ingesting(options) as ingest:
        holds()
        ingest.store.delete_index(options.index)
    figure(f"texts on {kind}", seen["texts"])
    figure(f"answers on {kind}", seen["answers"])
    assert seen["answers"] > seen["texts"] / 2


#: Reads a list of questions' results from standard input, counts in three other ways, and runs the page's own script.
_NODE = """
import assert from "node:assert";
import { readFileSync } from "node:fs";
const choose = (await import("data:text/javascript," + encodeURIComponent(process.argv[1]))).default;
const cases = JSON.parse(readFileSync(0, "utf8"));
for (const { content, answer, start, end, units, bytes } of cases) {
  assert.equal(Array.from(content).slice(start, end).join(""), answer);
  assert.equal(content.slice(...units), answer);
  assert.equal(Buffer.from(content).subarray(...bytes).toString(), answer);
  const parts = { textarea: { selectionStart: units[0], selectionEnd: units[1] }, button: {}, span: {} };
  let chosen = null;
  choose({ parentElement: { querySelector: (name) => parts[name] }, data: { text: content },
           setTriggerValue: (_, value) => { chosen = value; } });
  parts.button.onclick();
  assert.deepEqual(chosen, { start, end });
}
console.log(cases.length);
"""


def counted(content: str, answer: str, start: int, end: int) -> dict[str, object]:
    """A span in code points, and in the units of JavaScript and of UTF-8."""
    return {
        "content": content, "answer": answer, "start": start, "end": end,
        "units": [len(content[:at].encode("utf-16-le")) // 2 for at in (start, end)],
        "bytes": [len(content[:at].encode()) for at in (start, end)],
    }  # fmt: skip


@pytest.mark.case("F17")
def test_f17_other_ways_of_counting(model: Path, tmp_path: Path, figure: Figure) -> None:
    """A browser finds answers by code points, UTF-16 units and bytes, and the page's script counts them back."""
    family = "a😀b👨‍👩‍👧c"
    assert (len(family), len(family.encode("utf-16-le")) // 2, len(family.encode())) == (9, 13, 25)
    texts = [f"{family} The tower {number} {piece * 3}" for number, piece in enumerate(PIECES + MORE)]
    folder = write(tmp_path / "papers", {f"{number}.txt": text for number, text in enumerate(texts)})
    options = settings_for(tmp_path / "data", reader_model=str(model), reader_engine="torch")
    with ingesting(options) as ingest:
        ingest(folder)
    cases = [counted(family, "👨‍👩‍👧", 3, 8), counted(family, family, 0, 9)]
    with serving(options) as api:
        params = {"Retriever": {"top_k": 50}, "Reader": {"top_k": 50}}
        for question in ("Where is the tower?", "Who built the tower 7?"):
            result = api.post("/query", json={"query": question, "params": params}).json()
            contents = {document["id"]: document["content"] for document in result["documents"]}
            for answer in result["answers"]:
                if answer.get("document_ids"):
                    [place] = answer["offsets_in_document"]
                    content = contents[answer["document_ids"][0]]
                    cases.append(counted(content, answer["answer"], place["start"], place["end"]))
    assert len(cases) > 40
    assert sum(case["units"] != [case["start"], case["end"]] for case in cases) > 20
    node, _ = compute_driver_executable()
    done = subprocess.run(
        [node, "--input-type=module", "-e", _NODE, selection._JS],
        input=json.dumps(cases), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, str(len(cases))), done.stderr[-3000:]
    figure("answers counted by a browser's engine", len(cases))
