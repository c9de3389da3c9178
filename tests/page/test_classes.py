"""Keys and colours of classes: each has its own, and a class that comes later moves none."""

from hypothesis import example, given
from hypothesis import strategies as st

from weakseg.labels.formats.records import Classes
from weakseg.page.classes import DIGITS, LETTERS, keys_of, shown_classes

NAMES = st.lists(
    st.text("abcdexyzé 1", min_size=1, max_size=6), min_size=2, max_size=40, unique=True
)


@given(names=NAMES, has_background=st.booleans())
def test_each_class_has_a_key_of_its_own(names, has_background):
    keys = keys_of(Classes(tuple(names), has_background))
    own = [key for key in keys if key]
    assert len(keys) == len(names) and len({*own}) == len(own)
    assert len(own) == min(len(names), DIGITS + len(LETTERS) + has_background)
    assert (keys[0] == "0") == has_background


@given(names=NAMES, has_background=st.booleans())
def test_a_class_that_is_added_changes_no_other_key(names, has_background):
    before = keys_of(Classes(tuple(names[:-1]), has_background))
    after = keys_of(Classes(tuple(names), has_background))
    objects = len(names) - has_background
    if objects not in (DIGITS + 1, len(LETTERS) + 1):
        assert after[:-1] == before


@given(names=NAMES, has_background=st.booleans())
def test_the_first_nine_keep_their_digits(names, has_background):
    rows = shown_classes(Classes(tuple(names), has_background), {names[0]: "#123456"})
    digits = [row["digit"] for row in rows if row["digit"] and not row["is_background"]]
    assert digits == [str(n) for n in range(1, 1 + len(digits))] and len(digits) <= DIGITS
    colours = [row["colour"] for row in rows]
    assert colours[0] == "#123456" and all(len(colour) == 7 for colour in colours)
    assert len({*colours}) == len(colours)


@given(names=NAMES, has_background=st.booleans(), number=st.integers(0, 39))
@example(names=[f"{n:02}" for n in range(27)], has_background=False, number=0)
def test_a_class_that_goes_takes_no_key_and_no_colour_along(names, has_background, number):
    """Once they are kept, as they are whenever a class gets a name or goes into another one."""
    classes = Classes(tuple(names), has_background)
    rows = {row["name"]: row for row in shown_classes(classes, {})}
    letters = {name: row["key"] * row["key"].isalpha() for name, row in rows.items()}
    kept = {name: (letters[name], row["digit"]) for name, row in rows.items()}
    colours = {name: row["colour"] for name, row in rows.items()}
    gone = names[has_background:][number % (len(names) - has_background)]
    left = [name for name in names if name != gone]
    for own in (left, [*left, "a new one"]):
        now = shown_classes(Classes(tuple(own), has_background), colours, kept)
        for row in now:
            before = rows.get(row["name"])
            if before:
                assert row["colour"] == before["colour"]
                assert before["key"] in (row["key"], row["digit"], "")
                assert before["digit"] in (row["digit"], "")
        used = [{row["key"], row["digit"]} - {""} for row in now]
        assert sum(map(len, used)) == len(set().union(*used))
        assert len({row["colour"] for row in now}) == len(now)
