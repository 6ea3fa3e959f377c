"""The documents: uploaded, listed, looked for, deleted, and why some were rejected."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import streamlit as st

from ui.calls import calls, client
from ui.parts import note, notices, ready, trouble
from ui.records import File, Files, Job, JobFile
from ui.wording import day, plain, shown, size

_PER_PAGE = 20
_ORDERS = {"newest": "Newest first", "name": "By name"}
_ICONS = {"indexed": "check_circle", "unchanged": "check_circle", "rejected": "error", "pending": "pending"}


def main() -> None:
    """Draws the page; an upload goes on while it is looked at."""
    st.title("Documents")
    if not notices(ready()):
        return
    _upload()
    _uploads()
    _list()
    _rejections()


def _upload() -> None:
    turn = st.session_state.setdefault("upload-turn", 0)
    files = st.file_uploader(
        "Add text, Markdown, HTML, PDF or Word files", accept_multiple_files=True, key=f"upload-{turn}"
    )
    with st.expander("Metadata to filter by"):
        st.text_input(
            "Metadata of these files",
            key="upload-meta",
            placeholder="year=2024, department=sales",
            help="Kept with every passage of the files, and offered as filters.",
        )
    if not files:
        return
    # Read here: Streamlit forgets an upload with its widget.
    st.button(
        f"Add {len(files)} {'file' if len(files) == 1 else 'files'}",
        type="primary",
        icon=":material/upload:",
        on_click=_send,
        args=([(file.name, file) for file in files],),
    )


def _send(files: list[tuple[str, Any]]) -> None:
    try:
        meta = _meta(st.session_state.get("upload-meta") or "")
    except ValueError as error:
        st.session_state["upload-problem"] = str(error)
        return
    st.session_state.pop("upload-problem", None)
    turn = st.session_state["upload-turn"]
    st.session_state["upload-turn"] = turn + 1
    contents = [(name, file.getvalue()) for name, file in files]
    st.session_state.setdefault("uploads", []).insert(0, turn)
    calls().get(("upload", turn), lambda: client().upload(contents, meta))


def _meta(text: str) -> dict[str, str | int | float]:
    """Pairs as they are typed; raises ValueError with a sentence."""
    found: dict[str, str | int | float] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = (part.strip() for part in pair.partition("="))
        if not sign or not name or not value:
            raise ValueError(f"“{pair}” is no metadata; write name=value, with commas between.")
        found[name] = _typed(value)
    return found


def _typed(value: str) -> str | int | float:
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        # 007 and nan are meant as they are written.
        if str(number) == value:
            return number
    return value


def _uploads() -> None:
    """How the uploads of this session are doing."""
    if problem := st.session_state.get("upload-problem"):
        st.error(plain(problem), icon=":material/error:")
    for turn in list(st.session_state.get("uploads", [])):
        sent = calls().find(("upload", turn))
        if sent is None:
            st.session_state["uploads"].remove(turn)
        elif sent.problem:
            st.error(plain(f"The files were not added. {sent.problem}"), icon=":material/error:")
        elif sent.value is None:
            st.status("Sending the files…")
        else:
            _job(sent.value, turn)


def _job(accepted: Job, turn: int) -> None:
    key = ("job", accepted.id)
    last: Job = st.session_state.get(f"job-{turn}", accepted)
    if last.status != "done":
        call = calls().get(key, lambda: client().job(accepted.id), fresh=0.4)
        if call.value is not None:
            last = st.session_state[f"job-{turn}"] = call.value
        calls().look_again(key)
    if last.status == "done" and not st.session_state.get(f"job-{turn}-told"):
        st.session_state[f"job-{turn}-told"] = True
        calls().drop("files", "facets", "examples", "rejections", "query", "search")
    ended = sum(file.status != "pending" for file in last.files)
    rejected = sum(file.status == "rejected" for file in last.files)
    with st.container(border=True, key=f"upload-job-{turn}"):
        if last.status == "done":
            st.text(f"{ended - rejected} of {len(last.files)} files were indexed.")
        else:
            st.progress(ended / max(1, len(last.files)), f"{ended} of {len(last.files)} files are done.")
            if last.message:
                note(last.message)
        for file in last.files:
            _end(file)


def _end(file: JobFile) -> None:
    """One line: how a file of an upload ended."""
    words = {
        "indexed": f"indexed, {file.passages} {'passage' if file.passages == 1 else 'passages'}",
        "unchanged": "was there already, unchanged",
        "rejected": f"rejected: {shown(file.message) or file.reason}",
        "pending": "waiting",
    }
    icon = _ICONS.get(file.status, "help")
    st.markdown(f":material/{icon}: {plain(file.name)} – {plain(words.get(file.status, file.status))}")


def _list() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Find by name", key="name", bind="query-params", icon=":material/search:") or ""
        order = (
            st.selectbox("Order", list(_ORDERS), format_func=lambda one: _ORDERS[one], key="order", width=180)
            or "newest"
        )
    # Another search begins at its first page.
    key = f"page-{order}-{name}"
    page = st.session_state.get(key, 1)
    call = calls().get(
        ("files", name, order, page),
        lambda: client().files(name.strip(), order, (page - 1) * _PER_PAGE, _PER_PAGE),
        wait=0.5,
        fresh=15.0,
    )
    if call.problem:
        trouble(call.problem, "files")
    elif call.value is None:
        st.status("Looking…")
    else:
        if page > 1 and not call.value.files:
            del st.session_state[key]  # the last ones of that page were deleted
            st.rerun()
        _rows(call.value)
        if (pages := -(-call.value.total // _PER_PAGE)) > 1:
            st.pagination(pages, key=key)
        _deletion()


def _rows(found: Files) -> None:
    st.text(f"{found.total:,} {'document' if found.total == 1 else 'documents'}")
    for file in found.files:
        with st.container(border=True, key=f"file-{file.id}", horizontal=True, vertical_alignment="center"):
            with st.container():
                st.text(shown(file.path))
                note(_about(file))
            st.link_button(
                "Open",
                f"document?{urlencode({'file': file.id})}",
                key=f"open-{file.id}",
                icon=":material/open_in_new:",
                help=plain(f"Open {file.path} in a new tab"),
            )
            st.button(
                "Delete",
                key=f"delete-{file.id}",
                icon=":material/delete:",
                help=plain(f"Delete {file.path}"),
                on_click=_confirm,
                args=(file,),
            )


def _deletion() -> None:
    """The question whether a document is to be deleted, and what became of it."""
    if doomed := st.session_state.pop("doomed", None):
        _dialog(doomed)
    if gone := st.session_state.get("deleting"):
        call = calls().find(("delete", gone.id))
        if call is None or (call.problem is None and not call.pending):
            del st.session_state["deleting"]
            calls().drop("delete", "files", "facets", "examples", "query", "search")
            st.toast(plain(f"{gone.path} was deleted."), icon=":material/delete:")
            st.rerun()
        elif call.problem:
            st.error(plain(f"{gone.path} was not deleted. {call.problem}"), icon=":material/error:")


def _about(file: File) -> str:
    parts = (
        "indexed",
        f"{file.pages} {'page' if file.pages == 1 else 'pages'}" if file.pages else "",
        f"{file.passages} {'passage' if file.passages == 1 else 'passages'}",
        size(file.size),
        day(file.ingested_at),
    )
    return " · ".join(part for part in parts if part)


def _confirm(file: File) -> None:
    st.session_state["doomed"] = file
    st.session_state.pop("deleting", None)


@st.dialog("Delete this document?")
def _dialog(file: File) -> None:
    st.text(shown(file.path))
    st.text("Its text, passages and uploaded original are removed. Feedback on its answers stays.")
    with st.container(horizontal=True):
        if st.button("Delete it", type="primary", icon=":material/delete:"):
            calls().drop("delete")
            calls().get(("delete", file.id), lambda: client().delete(file.id))
            st.session_state["deleting"] = file
            st.rerun()
        if st.button("Keep it"):
            st.rerun()


def _rejections() -> None:
    """What was uploaded lately and could not be taken."""
    call = calls().get(("rejections",), client().rejections, wait=0.3, fresh=15.0)
    jobs = call.value
    if not jobs:
        return
    rejected = [(job, file) for job in jobs for file in job.files if file.status == "rejected"]
    with st.expander(f"Rejected uploads of the last week: {len(rejected)}", key="rejected"):
        for job, file in rejected:
            st.text(f"{shown(file.name)}: {shown(file.message) or file.reason}")
            note(day(job.created_at))


main()
