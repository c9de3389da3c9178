"""The benchmark of the page, on tiny photographs."""

from types import SimpleNamespace

from benchmarks import page_sessions


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
    )
    page_sessions.main(args)
    row = page_sessions.lived(args, "examples", 0)
    assert 4 <= row["minutes"] < 4.2 and row["lag"] <= 5
    assert row["estimate"] and row["estimate"][1] <= row["estimate"][2] and 0 < row["truth"] < 100
    assert "| examples" in capsys.readouterr().out
    monkeypatch.setattr(page_sessions, "session_of", None)  # it is not run again
    page_sessions.main(args)
    assert row["answers"] > 30
