"""A store gives a session back: whatever people do, reading it again ends where memory does."""

from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.labels.carried import merged
from weakseg.labels.formats.records import Classes
from weakseg.labels.store import opened_store
from weakseg.page.answer_log import AGAIN, CHANGED, FIRST, MENDED, REPEAT, AnswerLog, Asked, Told

PICTURES = st.sampled_from(["a", "b/c"])
PLACES = st.tuples(*2 * [st.integers(0, 3).map(lambda n: n + 0.5)])
LABELS = st.sampled_from(["background", "cat", "dog", None])
DRAWN = st.sampled_from(["random", "combined", "example"])
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), PICTURES, PLACES, DRAWN),
        st.tuples(st.just("tell"), LABELS, st.booleans()),
        st.tuples(st.just("change"), LABELS, st.sampled_from([CHANGED, MENDED])),
        st.tuples(st.just("again"), LABELS),
        st.tuples(st.just("repeat")),
        st.tuples(st.just("join"), PICTURES),
        st.tuples(st.just("estimate")),
        st.tuples(st.just("begin")),
    ),
    max_size=14,
)


def do(log, deed, *more):
    """Do one thing that the page does, where it makes sense."""
    number, last = len(log.asked) + 1, log.told[-1] if log.told else None
    if deed == "ask":
        picture, place, drawn = more
        log.ask([Asked(number, picture, place, drawn, number % 3, known=log.answers)])
    elif deed == "tell" and log.open:
        label, other = more
        asked = log.asked[log.open[0]]
        log.tell(Told(asked, "background" if other else label, other, asked.way, 1.5), (4, 4))
    elif deed == "change" and last:
        label, way = more
        log.tell(Told(last.asked, label, False, way, 0.5), (4, 4))
    elif deed == "again" and last:
        x = last.asked
        second = Asked(number, x.picture, x.place, "tested", 0, AGAIN, log.answers)
        log.ask([second])
        log.tell(Told(second, more[0], False, AGAIN, 1.0), (4, 4))
    elif deed == "repeat" and last:
        one = Asked(number, last.asked.picture, last.asked.place, "random", 0)
        log.ask([one])
        label, other = log.last_label(one.pixel)
        log.tell(Told(one, label, other, REPEAT), (4, 4))
    elif deed == "join":
        log.join([more[0]])
    elif deed == "estimate":
        log.estimate({"answers": log.answers})
    elif deed == "begin":
        log.begin({"active": {"60": 2.5}})


@settings(max_examples=20)
@given(deeds=DEEDS)
def test_reading_a_store_gives_the_session_back(deeds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    log = AnswerLog.read(folder, "ann")
    with opened_store(folder) as store:
        store.say_classes(Classes(("background", "cat", "dog")))
    log = AnswerLog.read(folder, "ann")
    for deed in deeds:
        do(log, *deed)
    again = AnswerLog.read(folder, "ann")
    for name in ("asked", "told", "open", "joined", "shapes", "looked", "estimates", "begun"):
        assert getattr(again, name) == getattr(log, name), name
    for name in ("drawn", "placed", "answers", "seconds"):
        assert getattr(again, name) == getattr(log, name), name

    # What training reads is the last answer to each pixel.
    with opened_store(folder) as store:
        carried = {picture: merged(one) for picture, one in store.given().items()}
    last = {told.asked.pixel: told.label for told in log.told}
    found = {
        (picture, shape.geometry["x"], shape.geometry["y"]): shape.label
        for picture, one in carried.items()
        for shape in one.shapes
    }
    assert found == last
    firsts = {told.asked.pixel: told.asked for told in reversed(log.told) if told.way == FIRST}
    for picture, one in carried.items():
        for shape in one.shapes:
            asked = firsts[picture, shape.geometry["x"], shape.geometry["y"]]
            assert shape.geometry["drawn"] in (asked.drawn, "random")
