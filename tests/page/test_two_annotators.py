"""Two people answer on copies of one folder; their stores are merged, and their agreement told."""

import shlex
import shutil

import pytest
from conftest import run
from page_session import Visitor, session_in, started, until, write_photographs

import labels
from weakseg.common import UserError
from weakseg.labels.store import opened_store

COUNT, PHOTOGRAPHS = 30, 12  # answers of each


def of_ann(question):
    return "red" if question["x"] < 32 else None if question["y"] < 8 else "background"


def of_bob(question):
    """Return the answer of somebody who calls a part of what is red a leaf."""
    return "leaf" if question["x"] < 16 else "red" if question["x"] < 32 else "background"


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """(folder, {name: the questions that one was asked, the random ones}) after both answered."""
    folder, asked = tmp_path_factory.mktemp("people"), {}
    write_photographs(folder / "ann/photos", {f"{n}.png": (64, 48) for n in range(PHOTOGRAPHS)})
    shutil.copytree(folder / "ann/photos", folder / "bob/photos")
    for name, says in (("ann", of_ann), ("bob", of_bob)):
        words = ["--classes", "red", "leaf", "--annotator", name]
        session = session_in(folder / name, folder / name / "photos", *words)
        answer_all(session, says)
        told = [one for one in session.log.told if one.asked.drawn == "random"]
        asked[name] = [(*one.asked.pixel, one.label) for one in told if one.way == "first"]
    return folder, asked


def answer_all(session, says):
    """Answer so many questions through the page's requests; says: question -> answer."""
    visitor = Visitor(session)
    with started(session):
        until(lambda: session.asker.joined == PHOTOGRAPHS)
        visitor.post("/begin", {})
        waiting = []
        for _ in range(COUNT):
            while not waiting:  # a busy machine takes its time
                waiting = visitor.questions()
            question = waiting.pop(0)
            visitor.last = question["id"]
            visitor.answer(question, says(question))


def merge(folder, output, *more):
    words = ["--images", folder / "ann/photos", "--output", output, *more]
    run(labels, "import", folder / "ann/labels", folder / "bob/labels", *words)


def test_everybody_is_asked_the_same_random_questions(people):
    _, asked = people
    ann, bob = ([one[:3] for one in asked[name]] for name in ("ann", "bob"))
    common = min(map(len, (ann, bob)))
    assert common >= COUNT // 5 and ann[:common] == bob[:common]


def test_stores_are_merged_and_agreement_is_told(people, tmp_path, capsys):
    folder, asked = people
    both = tmp_path / "both people"
    merge(folder, both)
    out = capsys.readouterr().out
    following = shlex.split(out.partition("next: ")[2])  # can be pasted as it is
    assert following[following.index("--labels") + 1] == str(both)
    assert following[-2:] == ["--run_name", both.name]
    mine, theirs = ({one[:3]: one[3] for one in asked[name]} for name in ("ann", "bob"))
    pairs = [(mine[pixel], theirs[pixel]) for pixel in mine.keys() & theirs.keys()]
    named = [pair for pair in pairs if None not in pair]
    alike = sum(a == b for a, b in named)
    (line,) = [line for line in out.splitlines() if "common questions" in line]
    # Those that the model chose may be common by chance.
    agree, of = (int(line.split(f"{word} ")[1].split()[0]) for word in ("on", "of"))
    assert agree >= alike and of >= len(named) > 0 and agree < of
    assert "ann and bob agree on" in line and "red for ann, leaf for bob" in line
    with opened_store(both) as store:
        given, classes = store.given(), store.classes()
    sources = {source for one in given.values() for source in one}
    assert sources == {"store questions ann", "store questions bob"}
    assert classes.names == ("background", "red", "leaf")
    answers = [s for one in given.values() for g in one.values() for s in g.shapes.values()]
    assert {one.origin.annotator for one in answers} == {"ann", "bob"}
    assert len(answers) == 2 * COUNT - repeated(people)
    merge(folder, both)  # once more changes nothing
    assert " 0 shapes added, 0 removed" in capsys.readouterr().out
    run(labels, "check", "--labels", both)
    assert line.partition(": ")[2] in capsys.readouterr().out


def repeated(people):
    """Return how many answers are to pixels that one was asked about before."""
    folder, _ = people
    count = 0
    for name in ("ann", "bob"):
        with opened_store(folder / name / "labels") as store:
            told = [e for _, _, e in store.events("answered") if e.geometry["way"] != "repeat"]
        count += len(told) - len({(e.picture, e.geometry["x"], e.geometry["y"]) for e in told})
    return count


def test_classes_of_two_stores_stand_together_and_may_have_other_names(people, tmp_path):
    folder, _ = people
    merge(folder, tmp_path / "both", "--map", "leaf=green")
    with opened_store(tmp_path / "both") as store:
        assert store.classes().names == ("background", "red", "green")


def test_two_without_a_name_are_told_apart_or_refused(people, tmp_path):
    folder, _ = people
    shutil.copytree(folder / "ann/labels", folder / "twin/labels")
    words = ["--images", folder / "ann/photos", "--output", tmp_path / "both"]
    both = [folder / "ann/labels", folder / "twin/labels"]
    with pytest.raises(UserError, match=r"is of the source store questions ann, as .* is"):
        run(labels, "import", *both, *words)
    assert not (tmp_path / "both").exists()
    for store, source in zip(both, ("one", "two"), strict=True):
        run(labels, "import", store, *words, "--source", source)


@pytest.mark.parametrize("kind", ["broken", "archive"])
def test_what_is_no_store_gets_one_line(tmp_path, kind, people):
    folder, _ = people
    path = tmp_path / "mine"
    path.mkdir()
    if kind == "broken":
        (path / "store.sqlite").write_bytes(b"no store" * 999)
    else:
        path = shutil.make_archive(tmp_path / "mine", "zip", folder / "ann", "labels")
    words = ["--images", folder / "ann/photos", "--output", tmp_path / "both"]
    with pytest.raises(UserError, match=r"no store of labels|unpack it") as error:
        run(labels, "import", path, *words)
    assert "\n" not in str(error.value) and not (tmp_path / "both").exists()
