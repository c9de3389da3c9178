"""Classes that change while people label: added, renamed, merged, recoloured.

All labels in the store follow, and the session of questions is built anew from it.
"""

from collections.abc import Callable, Mapping

from weakseg.labels.formats.records import Classes, rounded
from weakseg.labels.store import Event, Given, opened_store
from weakseg.page.access import Refused
from weakseg.page.asker import Asker
from weakseg.page.classes import COLOUR, checked_name, shown_classes


class ClassChanges:
    """Changes the classes of one session.

    forget: called where masks are drawn in other colours, or of other classes
    """

    def __init__(self, asker: Asker, forget: Callable[[], None], may_rename: bool) -> None:
        self.asker, self.log, self.forget = asker, asker.log, forget
        self.may_rename = may_rename

    def add(self, name: str) -> None:
        """Add a class; what was called *another object* is asked again."""
        with self.asker.changed:
            classes = self.may_change()
            name = checked_name(name, classes.names)
            self.take_classes(Classes((*classes.names, name), classes.has_background), [])

    def rename(self, old: str, new: str, is_merge: bool) -> None:
        """Give a class a new name, or that of another one, into which it goes."""
        with self.asker.changed:
            classes = self.may_change()
            check_class(self.log.classes, old)
            if old == classes.names[0] and classes.has_background:
                raise Refused(400, "the background keeps its name")
            others = [name for name in classes.names if name != old]
            if is_merge:
                check_class(self.log.classes, new)
                if new == old or len(others) < 2:
                    raise Refused(400, "two classes must be left")
                names = others
            else:
                new = checked_name(new, others)
                names = [new if name == old else name for name in classes.names]
            event = Event(
                self.log.source, "", "renamed", self.log.annotator, label=old, geometry={"to": new}
            )
            events = [*self.frozen(), event]
            self.take_classes(Classes(tuple(names), classes.has_background), events, (old, new))

    def frozen(self) -> list[Event]:
        """Return what keeps the keys and colours of all classes, whatever becomes of one."""
        log, events = self.log, []
        for row in shown_classes(log.classes, log.colours, log.keys):
            letter = row["key"] if row["key"].isalpha() else ""
            name, key = row["name"], {"letter": letter, "digit": row["digit"]}
            if log.keys.get(name) != (letter, row["digit"]):
                events.append(log.event("keyed", label=name, geometry=key))
            if log.colours.get(name) != row["colour"]:
                events.append(log.event("coloured", label=name, geometry={"to": row["colour"]}))
        return events

    def take_classes(
        self, classes: Classes, events: list[Event], renamed: tuple[str, str] | None = None
    ) -> None:
        """Store the classes, and build the session of questions anew.

        renamed: (old, new) name, which labels of all kinds in the store get
        """
        said = {"names": [*classes.names], "has_background": classes.has_background}
        events = [*events, Event("", "", "classes", geometry=said)]
        with opened_store(self.log.folder) as store:
            if renamed:
                events += renaming(store.given(), *renamed)
            store.append(events)
        with opened_store(self.log.folder) as store:
            for event in events:
                if event.act in ("keyed", "coloured", "renamed"):
                    self.log.fold(event)
            self.log.take_classes(classes)
            self.log.find_shapes(store)
        self.asker.labels = None  # of the classes before
        self.asker.forget()
        self.forget()

    def recolour(self, name: str, colour: str) -> None:
        """Give a class another colour."""
        with self.asker.lock:
            check_class(self.log.classes, name)
            if not COLOUR.fullmatch(colour):
                raise Refused(400, "a colour is written #rrggbb, in small letters")
            self.log.append([self.log.event("coloured", label=name, geometry={"to": colour})])
            self.log.colours[name] = colour
            self.forget()

    def may_change(self) -> Classes:
        """Return the classes where they may be changed."""
        if not self.may_rename:
            raise Refused(
                409, f"the classes are those of {self.asker.dataset.root}; change them there"
            )
        return self.log.classes


def check_class(classes: Classes, name: str) -> None:
    """Refuse a name that is no class."""
    if name not in classes.names:
        raise Refused(409, f"{name[:60]} is no class here; load the page anew")


def renaming(given: Mapping[str, Mapping[str, Given]], old: str, new: str) -> list[Event]:
    """Return the events that give all shapes of a class another name."""
    return [
        Event(
            source,
            picture,
            "shape",
            one.annotator,
            shape.kind,
            new,
            rounded(shape.geometry),
            replaced=number,
        )
        for picture, sources in given.items()
        for source, one in sources.items()
        for number, shape in one.shapes.items()
        if shape.label == old
    ]
