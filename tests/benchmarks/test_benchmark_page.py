"""The benchmark of the page, on tiny photographs."""

import sys
from pathlib import Path
from types import SimpleNamespace

import study
from benchmarks import page_sessions
from weakseg.common import write_json


def test_a_person_works_through_the_pages_requests_and_a_finished_session_is_kept(
    pets_dir, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(page_sessions, "where_of", lambda *_: {"data_dir": pets_dir})
    monkeypatch.setattr(page_sessions, "tested", lambda *_: 50.0)
    monkeypatch.setattr("weakseg.page.panel.ENOUGH", 5)
    args = SimpleNamespace(
        data=pets_dir,
        folder=tmp_path,
        only=["examples"],
        seeds=[0],
        minutes=4,
        seconds=2,
        img_size=64,
        encoder_weights="none",
        ask=False,
    )
    page_sessions.main(args)
    row = page_sessions.lived(args, "examples", 0)
    assert 4 <= row["minutes"] < 4.2 and row["lag"] <= 5
    assert row["estimate"] and row["estimate"][1] <= row["estimate"][2] and 0 < row["truth"] < 100
    assert "| examples" in capsys.readouterr().out
    monkeypatch.setattr(page_sessions, "session_of", None)  # it is not run again
    page_sessions.main(args)
    assert row["answers"] > 30

    # The same person answers as many questions of `study.py ask`.
    def ask(*words, threads):
        monkeypatch.setattr(sys, "argv", [*map(str, words)])
        asked.append(study.parse_args())
        write_json(Path(asked[-1].study_dir) / "ask.json", {"rows": [{"miou": 47.5}]})

    asked = []
    monkeypatch.setattr(page_sessions, "run", ask)
    args.ask = True
    page_sessions.main(args)
    page_sessions.main(args)
    (given,) = asked
    assert (given.answers, given.at, given.seed) == (row["answers"], [row["answers"]], 0)
    assert capsys.readouterr().out.replace(" ", "").count("|50.0|47.5|2.5|") == 2
