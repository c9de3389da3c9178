"""Labels of a store that were mended somewhere and come back as those of another source."""

import json

import pytest
from conftest import run
from PIL import Image

import labels


@pytest.mark.parametrize("kind", ["box", "polygon"])
def test_shapes_that_were_removed_in_another_tool_are_told_with_the_way_out(
    kind, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    rows = ["image,kind,class,x,y"]
    for name in "abc":
        Image.new("RGB", (60, 40), ord(name)).save(f"images/{name}.png")
        for x in (3, 30):
            places = (x, 4, x + 20, 30) if kind == "box" else (x, 4, x + 20, 4, x + 9, 30)
            rows.append(f"{name}.png,{kind},cat,{','.join(map(str, places))}")
    (tmp_path / "first.csv").write_text("\n".join(rows))

    def brought(path, *words):
        run(labels, "import", path, "--images", "images", "--output", "s", *words)
        return capsys.readouterr().out

    assert "hold as before" not in brought("first.csv")
    run(labels, "export", "--labels", "s", "--format", "coco", "--output", "back.json")
    content = json.loads((tmp_path / "back.json").read_text())
    assert "hold as before" not in brought("back.json")
    content["annotations"].pop()
    (tmp_path / "mended.json").write_text(json.dumps(content))
    out = brought("mended.json")
    assert "1 shapes of weakseg first in 1 pictures are not in it, the first in c" in out
    for source in ("weakseg first", "coco back"):
        out = brought("mended.json", "--source", source)
    assert "1 removed" in out and "hold as before" not in out
    (tmp_path / "later.csv").write_text(
        "\n".join([rows[0], rows[1].replace("cat", "dog"), *rows[2:]])
    )
    assert "1 shapes of weakseg first in 1 pictures are not in it" in brought("later.csv")
    content["annotations"] = content["annotations"][:1]  # another store's, or another person's
    (tmp_path / "other.json").write_text(json.dumps(content))
    assert "hold as before" not in brought("other.json")
