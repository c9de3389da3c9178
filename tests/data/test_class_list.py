"""Lists of classes: no line shifts the others, and what may mean two things is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.common import UserError
from weakseg.data.class_list import read_classes, write_classes
from weakseg.data.mask_values import MaskValues

NAMES = ["background", "cat", "dog of mine", "grass, dry", "3d print", "2 wheeler", "#1 fan?", "é"]
PLAIN = [name for name in NAMES[1:] if not name.startswith("#")]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "classes.txt"


@given(
    st.lists(st.sampled_from(PLAIN), min_size=1, max_size=5, unique=True),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.text(" \t", max_size=3),
    st.integers(0, 3),
    st.lists(st.sampled_from(["# my classes", "#", "#\tof 2020"]), max_size=2),
)
def test_what_stands_at_the_ends_of_lines_means_nothing(
    tmp_path_factory, names, ending, encoding, blanks, empty, comments
):
    path = tmp_path_factory.mktemp("list") / "classes.txt"
    names = ["background", *names]
    lines = [*comments, *(f"{blanks}{name}{blanks}" for name in names), *[""] * empty, *comments]
    text = ending.join(lines)
    path.write_bytes(text.encode(encoding))
    assert read_classes(path) == (names, True)


@given(
    st.lists(st.sampled_from(["cat", "dog", "bird"]), min_size=2, unique=True),
    st.sampled_from(["", "# unused", "# background", "-", ",", "[", '"fox"', "fox,", "'fox'"]),
    st.data(),
)
def test_a_line_among_names_that_is_none_is_named(tmp_path_factory, names, line, data):
    path = tmp_path_factory.mktemp("list") / "classes.txt"
    place = data.draw(st.integers(1, len(names)))
    lines = ["background", *names[: place - 1], line, *names[place - 1 :]]
    path.write_text("\n".join(lines), encoding="utf-8")
    if place == len(names) and line[:1] in ("", "#"):
        lines.append("last")
        path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match=rf"classes\.txt, line {place + 1}: "):
        read_classes(path)


@pytest.mark.parametrize("form", ["{} {}", "{}: {}", "{}\t{}", "{},{}", "{}. {}", "{}={}"])
@pytest.mark.parametrize("first", [0, 1])
def test_numbers_in_front_of_names_are_refused(path, form, first):
    names = enumerate(["background", "cat", "dog"], first)
    path.write_text("\n".join(form.format(*pair) for pair in names))
    with pytest.raises(UserError, match=r"line 1: .* begins with a number; write the names alone"):
        read_classes(path)


@pytest.mark.parametrize("name", ["background", "Background", "_background_", "BG"])
def test_the_background_stands_first_or_is_called_a_class(path, name):
    path.write_text(f"cat\n{name}\ndog\n")
    with pytest.raises(UserError, match=r"line 2: .* must stand first"):
        read_classes(path)
    assert read_classes(path, without_background=True) == (["cat", name, "dog"], False)
    path.write_text(f"# No  Background\ncat\n{name}\ndog\n")
    assert read_classes(path) == (["cat", name, "dog"], False)
    path.write_text(f"cat\n{name}\n# no background\ndog\n")
    assert read_classes(path) == (["cat", name, "dog"], False)
    path.write_text(f"# {name}\ncat\ndog\n")
    with pytest.raises(UserError, match=r"line 1: .* is a comment, which names no class"):
        read_classes(path)


def test_an_empty_line_on_top_is_refused_and_a_list_of_nothing_too(path):
    path.write_text("\nbackground\ncat\n")
    with pytest.raises(UserError, match=r"line 1: is empty"):
        read_classes(path)
    path.write_text("\n\n# cat\n")
    with pytest.raises(UserError, match="lists nothing"):
        read_classes(path)


def test_lists_of_labelme_are_read(path):
    path.write_text("__ignore__\n_background_\ncat\n")
    assert read_classes(path) == (["background", "cat"], True)
    path.write_text("cat\n__ignore__\n_background_\n")
    with pytest.raises(UserError, match=r"line 3: '_background_' must stand first"):
        read_classes(path)


def test_a_background_at_another_number_is_said_with_mask_values(path):
    """As the refusal proposes: 0 is the class cat in the masks, 1 the background."""
    path.write_text("background\ncat\n")
    names, _ = read_classes(path)
    values = MaskValues.of_flags(["0=cat", "1=background"], None, names)
    assert values is not None and [values.class_of(n) for n in (0, 1)] == [1, 0]


@pytest.mark.parametrize("heading", ["id,name", "Name", "class", "Class name", "number\tlabel"])
def test_a_heading_is_no_class(path, heading):
    path.write_text(f"{heading}\ncat\ndog\n")
    with pytest.raises(
        UserError, match=r"line 1: .* is a heading, no class; write the names alone"
    ):
        read_classes(path)
    path.write_text(f"background\n{heading} tag\n")
    assert len(read_classes(path)[0]) == 2


@pytest.mark.parametrize(
    "one, other",
    [("m\u00b2", "m2"), ("a\u00a0b", "a b"), ("a", "a\u200b"), ("\u00e9\u200d", "\u00e9")],
)
def test_names_that_look_the_same_are_refused(path, one, other):
    path.write_text(f"background\n{one}\n{other}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 3: .* looks like .* of line 2; keep one"):
        read_classes(path)


def test_accents_are_letters_of_one_form(path):
    path.write_text("background\ncafe\u0301\n", encoding="utf-8")
    assert read_classes(path)[0] == ["background", "caf\u00e9"]


@given(st.lists(st.sampled_from(PLAIN), min_size=1, unique=True), st.booleans())
def test_a_list_that_is_written_is_read(tmp_path_factory, names, has_background):
    path = tmp_path_factory.mktemp("list") / "classes.txt"
    names = ["background", *names] if has_background else names
    write_classes(path, names, has_background)
    assert read_classes(path) == (names, has_background)
    with pytest.raises(UserError, match=r"classes.txt, line 2: '-' is no name"):
        write_classes(path, ["a", "-"], has_background)
    assert read_classes(path) == (names, has_background)


@pytest.mark.parametrize("sign", [" ", ",", "\t", ": "])
@pytest.mark.parametrize("mark", ["{}", "#00000{}", "0 0 {}"])
def test_numbers_and_colours_behind_all_names_are_refused(sign, mark, tmp_path):
    path = tmp_path / "classes.txt"
    rows = [("background", 0), ("cat", 2), ("dog", 1)]
    path.write_text("".join(f"{name}{sign}{mark.format(k)}\n" for name, k in rows))
    with pytest.raises(UserError, match=r"line 1: .* has a number or colour behind"):
        read_classes(path)
    path.write_text("background\ngrade 1\ngrade 2\n")
    assert read_classes(path)[0][1:] == ["grade 1", "grade 2"]
    path.write_text("# no background\ntooth 1\ntooth 2\n")
    assert len(read_classes(path)[0]) == 2
    path.write_text("- background\n- cat\n")
    with pytest.raises(UserError, match="marks that are no part"):
        read_classes(path)
