"""A session of questions: what is asked, what is learned of the answers, and what resumes."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.common import IGNORE, UserError
from weakseg.labels.answers import RANDOM
from weakseg.learners.logistic import fit_linear
from weakseg.planning import asking as module
from weakseg.planning.asking import Asking, AskingOptions
from weakseg.planning.asking_state import load_session, save_session
from weakseg.planning.candidates import Pool, RandomQuestions
from weakseg.planning.out_of_fold import out_of_fold
from weakseg.planning.questions import EXAMPLE, Question
from weakseg.planning.strategies import FEW_OF_CLASS, IN_VAIN, SERVED
from weakseg.training.pixel_sample import LabelledPixels

SIDE = 40  # pixels of a picture
PICTURES, CANDIDATES = 30, 12


def features_of(picture, places):
    """Return the features [N, 4] of places: three that tell left from right, and one of noise."""
    x, y = np.asarray(places).T / SIDE
    shift = 0.1 * np.sin(picture)
    return np.stack([x - 0.5 + shift, y - 0.5, (x - 0.5) * (y - 0.5), np.cos(9 * x + y)], 1)


def truth(question, classes=2):
    """Return the class of a pixel: how far to the right it is."""
    return min(int(question.place[0] / SIDE * classes), classes - 1)


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    places = rng.integers(0, SIDE, (PICTURES, CANDIDATES, 2)).astype(np.float32) + 0.5
    features = np.stack([features_of(i, own) for i, own in enumerate(places)])
    names = [f"p{i:02}" for i in range(PICTURES)]
    return Pool(names, np.full((PICTURES, 2), SIDE), places, features.astype(np.float16))


def session(pool, classes=2, labels=None, **options):
    options = {"strategy": "margin", **options}
    return Asking(pool, features_of, classes, AskingOptions(**options), labels)


def answered(asking, count, batch=10, classes=2, answer=truth):
    """Answer `count` questions; return them."""
    questions = []
    while len(questions) < count:
        more = asking.next(min(batch, count - len(questions)))
        asking.take(more, [answer(question, classes) for question in more])
        questions += more
    return questions


# ---- questions


@given(share=st.floats(0, 1), batch=st.integers(1, 30))
@settings(max_examples=5)
def test_random_questions_are_the_sequence_whatever_the_model_thinks(pool, share, batch):
    asking = session(pool, seed=3, random_share=share)
    questions = [q for q in answered(asking, 90, batch) if q.drawn == RANDOM]
    pictures, places = RandomQuestions(3, pool.sizes).drawn(0, len(questions))
    assert [q.picture for q in questions] == pictures.tolist()
    assert [list(q.place) for q in questions] == places.tolist()


@pytest.mark.parametrize("share", [0, 0.125, 0.25, 0.5, 1])
def test_a_share_of_the_questions_is_random(pool, share):
    asking = session(pool, random_share=share)
    answered(asking, 8, batch=8)  # all random: there is no model yet
    questions = answered(asking, 80)
    assert sum(q.drawn == RANDOM for q in questions) == 80 * share


def test_no_candidate_is_asked_twice(pool):
    asking = session(pool, random_share=0.0)
    questions = answered(asking, 200)
    chosen = [(q.picture, q.place) for q in questions if q.drawn != RANDOM]
    assert len({*chosen}) == len(chosen)


def test_a_pool_without_further_candidates_has_no_further_questions(pool):
    asking = session(pool, random_share=0.0, looked_at=PICTURES)
    answered(asking, 8, batch=8)
    while questions := asking.next(50):
        asking.take(questions, [truth(question) for question in questions])
    assert asking.asked.all()


@pytest.mark.parametrize("batch", [1, 50])
def test_where_no_candidate_is_left_random_questions_go_on(pool, batch):
    asking = session(pool, strategy="rare_spread")
    questions = answered(asking, 3 * PICTURES * CANDIDATES, batch)
    assert asking.asked.all() and {q.drawn for q in questions[-50:]} == {RANDOM}


@pytest.mark.parametrize("strategy", ["margin", "rare_spread"])
def test_a_visit_has_as_many_questions_as_it_may(pool, strategy):
    asking = session(pool, random_share=0.0, per_picture=2, strategy=strategy)
    answered(asking, 40)
    assert asking.counts().min() >= FEW_OF_CLASS
    assert len({question.picture for question in asking.next(20)}) == 10


def with_rare_class(question, classes=3):
    """Return the class of a pixel: the last one shows in a corner."""
    if max(question.place) < SIDE / 5:
        return classes - 1
    return min(int(question.place[0] / SIDE * (classes - 1)), classes - 2)


def test_a_class_with_few_answers_is_served(pool):
    counts = {"margin": [], "rare_spread": []}
    for strategy, seed in product(counts, range(4)):
        asking = session(pool, 3, strategy=strategy, seed=seed)
        picture, candidate = np.argwhere((pool.places < SIDE / 5).all(-1))[0]
        place = tuple(pool.places[picture, candidate].tolist())
        asking.take([Question(int(picture), place, EXAMPLE, 0)], [2])
        answered(asking, 70, classes=3, answer=with_rare_class)
        counts[strategy].append(asking.counts()[2])
    assert min(counts["rare_spread"]) >= FEW_OF_CLASS > min(counts["margin"])
    assert sum(counts["rare_spread"]) > sum(counts["margin"])


def in_one_picture(question, classes=3):
    """Return the class of a pixel: the last one is a whole picture."""
    return classes - 1 if question.picture == 5 else truth(question, classes - 1)


def test_a_class_that_is_sought_in_vain_is_sought_where_it_was_seen(pool, monkeypatch):
    noise = np.random.default_rng(0).normal(size=pool.features.shape).astype(np.float16)
    unlike = replace(pool, features=noise)  # nothing tells the model where the class is
    counts = []
    for patience in (IN_VAIN, 10_000):
        monkeypatch.setattr(module, "IN_VAIN", patience)
        asking = session(unlike, 3, strategy="rare_spread", random_share=0.0)
        asking.take([Question(5, tuple(unlike.places[5, 0].tolist()), EXAMPLE, 0)], [2])
        answered(asking, 150, classes=3, answer=in_one_picture)
        counts.append(asking.counts()[2])
    assert counts[0] >= FEW_OF_CLASS > counts[1]


def test_a_quarter_of_the_chosen_questions_serves_at_most(pool):
    asking = session(pool, random_share=0.0, strategy="rare_spread")
    asking.take(asking.next(12), [1, 1, *[0] * 10])
    for count in (1, 3, 4, 7, 20):
        before = asking.placed
        served = asking.served(count)
        assert len(served) == int((before + count) * SERVED) - int(before * SERVED)
        assert len({question.picture for question in served}) == len(served)
        asking.placed += count


def test_an_answered_pixel_that_is_drawn_again_is_said_to_be_so(pool):
    asking = session(pool, random_share=1.0)
    picture, place = (part[0] for part in asking.random.drawn(0, 1))
    example = Question(int(picture), (float(place[0]), float(place[1])), EXAMPLE, 0)
    asking.take([example], [truth(example)])
    first, second = asking.next(2)
    assert first.repeated and not second.repeated
    spent = asking.seconds_spent
    asking.take([first], [truth(first)])
    assert asking.seconds_spent == spent  # it is paid once
    assert len(asking.answers.last_of_each()) == 1  # and learned once


def test_questions_of_one_picture_come_together_and_are_limited(pool):
    asking = session(pool, random_share=0.0, per_picture=3, looked_at=PICTURES)
    answered(asking, 10)
    pictures = [question.picture for question in asking.next(9)]
    runs = [pictures[i] for i in range(9) if i == 0 or pictures[i] != pictures[i - 1]]
    assert len(runs) == len({*runs}) == 3


def test_the_least_sure_pixels_are_asked(pool):
    asking = session(pool, random_share=0.0, looked_at=PICTURES)
    answered(asking, 60)
    outlook = asking.outlook(np.arange(PICTURES))
    unsure = 1 - np.abs(outlook.chances[..., 0] - outlook.chances[..., 1])
    unsure[asking.asked] = -1
    question = asking.next(1)[0]
    place = (pool.places[question.picture] == question.place).all(1)
    assert unsure[question.picture][place].max() == pytest.approx(unsure.max())


def test_seconds_are_answers_and_looks(pool):
    asking = session(pool, seconds=(3.0, 1.5))
    questions = answered(asking, 50)
    distinct = {(q.picture, q.place) for q in questions}
    looks = {q.picture for q in questions}
    assert asking.seconds_spent == 3 * len(distinct) + 1.5 * len(looks)


# ---- the model


def test_the_model_is_the_fit_to_all_answers_that_tell(pool):
    """Warm starts and axes of earlier answers change nothing; each answer weighs the same."""
    asking = session(pool)
    blurred = lambda q, classes: IGNORE if q.picture % 5 == 0 else truth(q)  # noqa: E731
    answered(asking, 150, answer=blurred)
    rows = asking.answers.pixels(asking.answers.last_of_each())
    told = rows.part(rows.classes != IGNORE)
    assert (told.images % 5 != 0).all() and (told.weights == 1).all()
    x = asking.model.standard(told.features)
    fresh = fit_linear(x, told.classes, told.weights, asking.model.penalty, 2)
    places = torch.from_numpy(asking.model.standard(pool.features[3]))
    ours, theirs = (head.logits(places).softmax(1) for head in (asking.model.head, fresh))
    assert torch.allclose(ours, theirs, atol=2e-3)


def test_what_people_cannot_tell_is_learned(pool):
    asking = session(pool)
    answered(asking, 120, answer=lambda q, c: IGNORE if q.place[1] < SIDE / 3 else truth(q))
    tells = asking.chances(np.arange(PICTURES), asking.model.tell)[..., 1]
    above = pool.places[..., 1] < SIDE / 4
    assert tells[above].mean() < 0.5 < tells[pool.places[..., 1] > SIDE / 2].mean()


def test_one_class_alone_makes_no_model(pool):
    asking = session(pool)
    answered(asking, 20, answer=lambda q, c: 1)
    assert asking.model.head is None and len(asking.answers) == 20
    assert {question.drawn for question in asking.next(10)} == {RANDOM}
    answered(asking, 10)
    assert asking.model.head is not None


def test_labels_that_are_there_begin_the_model_and_cannot_hurt_for_long(pool):
    """Labels that say the contrary of what the person answers lose their weight."""
    pictures = np.arange(PICTURES)
    features = pool.features[pictures, 0].astype(np.float16)
    right = (pool.places[:, 0, 0] >= SIDE / 2).astype(np.int64)
    for classes, weighs in ((right, True), (1 - right, False)):
        labels = LabelledPixels(features, classes, np.ones(PICTURES), pictures)
        asking = session(pool, labels=labels)
        asking.model.fit(asking.answers)
        questions = answered(asking, 100, batch=5)
        assert any(question.drawn != RANDOM for question in questions[:5])  # there is a model
        assert (asking.model.weight > 0) == weighs


def test_the_labels_of_held_out_pictures_teach_their_judge_nothing(pool):
    """Classes by picture, at random: nothing carries over, so nothing can be predicted."""
    rng = np.random.default_rng(5)
    of_picture = rng.integers(0, 2, PICTURES)
    features = np.tile(np.eye(PICTURES, dtype=np.float16)[:, None], (1, CANDIDATES, 1))
    odd = Pool(pool.names, pool.sizes, pool.places, features)
    labels = LabelledPixels(features[:, 0], of_picture, np.ones(PICTURES), np.arange(PICTURES))
    features_at = lambda picture, places: np.repeat(features[picture][:1], len(places), 0)  # noqa: E731
    asking = Asking(odd, features_at, 2, AskingOptions(random_share=1.0), labels)
    answered(asking, 60, answer=lambda question, classes: int(of_picture[question.picture]))
    asking.model.weight = 400.0
    found = out_of_fold(asking)
    assert np.mean(found.predicted == found.answers) < 0.75
    told = asking.answers.pixels(np.arange(60))
    losses = asking.model.held_out_losses(told, 400.0)
    assert losses.sum() > 60 * 0.6  # as good as a coin, not perfect


# ---- on disk


@given(st.integers(1, 7), st.sampled_from(["margin", "rare_spread", "per_second"]))
@settings(max_examples=5)
def test_a_session_goes_on_bit_by_bit(pool, tmp_path_factory, cut, strategy):
    path = tmp_path_factory.mktemp("session") / "session.npz"
    whole, halves = (session(pool, seed=1, strategy=strategy) for _ in range(2))
    questions = answered(whole, 80)
    begun = answered(halves, 10 * cut)
    save_session(path, halves, "key")
    halves.next(10)  # asked, and never answered
    resumed = session(pool, seed=1, strategy=strategy)
    assert load_session(path, resumed, "key")
    assert begun + answered(resumed, 80 - 10 * cut) == questions
    assert torch.equal(resumed.model.head.weights, whole.model.head.weights)
    assert resumed.model.penalty == whole.model.penalty
    assert resumed.model.fits == whole.model.fits


def test_a_session_with_repeated_pixels_goes_on_bit_by_bit(pool, tmp_path):
    """Two pixels alone: most random questions repeat one that was answered."""
    tiny = Pool(pool.names[:2], np.ones((2, 2), int), pool.places[:2] * 0 + 0.5, pool.features[:2])
    whole, halves, resumed = (session(tiny, seed=1, random_share=1.0) for _ in range(3))
    answer = lambda question, classes: question.picture  # noqa: E731
    answered(whole, 12, 1, answer=answer)
    answered(halves, 7, 1, answer=answer)
    save_session(tmp_path / "session.npz", halves, "key")
    assert load_session(tmp_path / "session.npz", resumed, "key")
    answered(resumed, 5, 1, answer=answer)
    assert torch.equal(resumed.model.head.weights, whole.model.head.weights)


# ---- pictures that join


def part(pool, pictures):
    fields = "names", "sizes", "places", "features"
    return Pool(*(getattr(pool, field)[:pictures] for field in fields))


@given(st.integers(5, 25), st.integers(1, 6))
@settings(max_examples=4)
def test_pictures_that_join_are_asked_about_and_the_session_goes_on(pool, tmp_path_factory, n, cut):
    path = tmp_path_factory.mktemp("joined") / "session.npz"
    whole, halves = (session(part(pool, n), seed=1) for _ in range(2))
    for asking in (whole, halves):
        before = answered(asking, 40)
        assert max(question.picture for question in before) < n
        asking.join(pool)
    questions = answered(whole, 80)
    assert any(question.picture >= n for question in questions)
    begun = answered(halves, 10 * cut)
    save_session(path, halves, "key")
    resumed = session(pool, seed=1)
    assert load_session(path, resumed, "key")
    assert begun + answered(resumed, 80 - 10 * cut) == questions
    assert torch.equal(resumed.model.head.weights, whole.model.head.weights)
    # The random ones are the sequence that the pictures extended when they came.
    random = [q for row in whole.answers.rows if (q := row.question).drawn == RANDOM]
    drawn = sum(q.drawn == RANDOM for q in before)
    joined = np.repeat([0, drawn], [n, len(pool) - n])
    pictures, _ = RandomQuestions(1, pool.sizes, joined).drawn(0, len(random))
    assert [q.picture for q in random] == pictures.tolist()
    assert out_of_fold(whole).weights.mean() == pytest.approx(1)


def test_other_pictures_do_not_join(pool, tmp_path):
    asking = session(part(pool, 10))
    answered(asking, 10)
    other = Pool(["other", *pool.names[1:]], pool.sizes, pool.places, pool.features)
    for wrong in (other, part(pool, 9)):
        with pytest.raises(ValueError, match="must begin with the pictures"):
            asking.join(wrong)
    save_session(tmp_path / "session.npz", asking, "key")
    with pytest.raises(UserError, match="a damaged session"):
        load_session(tmp_path / "session.npz", session(pool), "key")


def test_there_may_be_no_session(pool, tmp_path):
    assert not load_session(tmp_path / "session.npz", session(pool), "key")


def test_a_session_of_something_else_is_refused(pool, tmp_path):
    asking = session(pool)
    answered(asking, 10)
    save_session(tmp_path / "session.npz", asking, "key", "files")
    with pytest.raises(UserError, match=r"session\.npz: is a session of other"):
        load_session(tmp_path / "session.npz", session(pool), "other", "files")
    with pytest.raises(UserError, match=r"session\.npz: is a session on photographs or masks that"):
        load_session(tmp_path / "session.npz", session(pool), "key", "other files")
    assert load_session(tmp_path / "session.npz", session(pool), "key", "files")
    save_session(tmp_path / "session.npz", asking, "key")  # as an earlier version did
    assert load_session(tmp_path / "session.npz", session(pool), "key", "files")


@given(st.data())
@settings(max_examples=20)
def test_a_damaged_session_is_refused(pool, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("session") / "session.npz"
    asking = session(pool)
    answered(asking, 10)
    save_session(path, asking, "key")
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:cut])
    with pytest.raises(UserError, match="damaged session"):
        load_session(path, session(pool), "key")


@pytest.mark.parametrize("name, change", [("label", 1), ("place", 0.5), ("features", 1)])
def test_an_edited_session_is_refused(pool, tmp_path, name, change):
    path = tmp_path / "session.npz"
    asking = session(pool)
    answered(asking, 10)
    save_session(path, asking, "key")
    with np.load(path) as file:
        state = {one: file[one] for one in file.files}
    np.savez(path, **(state | {name: state[name] + np.array(change, state[name].dtype)}))
    with pytest.raises(UserError, match=r"a damaged session \(it was edited\); delete it"):
        load_session(path, session(pool), "key")
