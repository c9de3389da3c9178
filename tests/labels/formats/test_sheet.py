"""Our own table of labels, as scripts write it and spreadsheets of all countries save it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_traps import only, put, read, reasons

from weakseg.common import UserError
from weakseg.labels.formats.sheet import STEPS, filled_lines

HEAD = "image,kind,class,x,y"
LINES = ("a.jpg,Box,cat,1.5,2,9,8", "a.jpg,CLICK,dog,3,4")


def written(separator, point, index=None):
    """Return the table as a spreadsheet of some country saves it; index: name of row numbers."""
    content = "\r\n".join([HEAD, *LINES])
    if index is not None:
        content = "\r\n".join([f"{index},{HEAD}", *(f"{k},{line}" for k, line in enumerate(LINES))])
    return content.replace(",", separator).replace(".5", f"{point}5")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
@pytest.mark.parametrize("separator, point", [(",", "."), (";", "."), (";", ","), ("\t", ",")])
@pytest.mark.parametrize("index", [None, "", "Unnamed: 0", "index"])
def test_our_table_is_read_as_spreadsheets_of_all_countries_save_it(
    tmp_path, name, separator, point, index
):
    content = written(separator, point, index)
    for coding in ("utf-8-sig", "utf-16"):
        shapes, dropped = only(put(tmp_path / name, content.encode(coding)))
        assert [(one.kind, one.label, one.geometry) for one in shapes] == [
            ("box", "cat", [1.5, 2, 9, 8]),
            ("click", "dog", [3, 4]),
        ]
        assert not dropped.counts


def test_numbers_with_commas_and_with_points_are_refused(tmp_path):
    content = written(";", ",") + "\r\nb.jpg;click;cat;1.5;2"
    with pytest.raises(UserError, match=r"a decimal comma and others with a point, as 1,5 and 1.5"):
        read(put(tmp_path / "a.csv", content))


@pytest.mark.parametrize("row", [",click,cat,1,2", " ,tag,dog", ",,,,7"])
def test_a_row_without_an_image_is_refused_by_its_line(tmp_path, row):
    """A spreadsheet's merged cells leave all rows but the first without a name."""
    path = put(tmp_path / "a.csv", f"{HEAD}\na.jpg,click,cat,3,4\n,,,,\n{row}\n")
    with pytest.raises(UserError, match=r"a\.csv: line 4 has no image; merged cells"):
        read(path)


def test_marks_of_thousands_are_no_decimal_points(tmp_path):
    content = f"{HEAD}\na.jpg,box,cat,1.024,10,1.140,30\n".replace(",", ";")
    with pytest.raises(UserError, match=r"1.024 may be 1024 or a number with decimals; write"):
        read(put(tmp_path / "a.csv", content))
    for row in ("1.024,10.5,9.140,30", "1.024,2.125,9.140,3.5"):
        content = f"{HEAD}\na.jpg,box,cat,{row}\n".replace(",", ";")
        assert only(put(tmp_path / "a.csv", content))[0][0].geometry[0] == 1.024


def test_halves_of_decimal_commas_are_told(tmp_path):
    content = f"{HEAD}\na.jpg,stroke,cat,20,5,10,5,40,5,30,5\n"
    assert [why for _, why in only(put(tmp_path / "a.csv", content))[1].counts] == [
        "read as whole numbers, though each second has one digit, as behind a decimal comma"
    ]
    content = f"{HEAD}\na.jpg,stroke,cat,20,5,10,5,40,5,30,15\n"
    assert not only(put(tmp_path / "a.csv", content))[1].counts


@given(st.integers(1, 9), st.floats(-3, 3), st.booleans(), st.booleans())
def test_coordinates_that_a_sheet_filled_down_are_told(steps, step, is_one_picture, is_apart):
    names = ["a.jpg" if is_one_picture else f"{k}.jpg" for k in range(steps + 1)]
    kinds = [[name, "click", "cat", f"{9 + k * step:.9f}", "7"] for k, name in enumerate(names)]
    if is_apart:
        kinds = [row for one in kinds for row in (one, [f"{one[0]}.png", "tag", "dog"])]
        kinds[len(kinds) // 2 : len(kinds) // 2] = [["z.jpg", "click", "cat", "300", "1"]]
    told = filled_lines(kinds)
    longest = steps if not is_apart else steps // 2
    is_filled = not is_one_picture and abs(step) > 1e-5 and longest >= STEPS
    assert len(told) == is_filled or 0 < abs(step) <= 1e-5


@pytest.mark.parametrize(
    "columns, numbers",
    [
        ("x,y", "2,3,12,23"),
        ("x1,y1,x2,y2", "2,3,12,23"),
        ("xmin,ymin,xmax,ymax", "2,3,12,23"),
        ("XMin,XMax,YMin,YMax", "2,12,3,23"),
        ("x,y,width,height", "2,3,10,20"),
        ("left,top,w,h", "2,3,10,20"),
        ("Left;Top;Width;Height", "2;3;10;20"),
        ("x,y,,", "2,3,12,23"),
    ],
)
def test_the_names_of_columns_say_what_stands_in_them(tmp_path, columns, numbers):
    sign = ";" if ";" in columns else ","
    rows = f"image,kind,class,{columns}\na.jpg,box,cat,{numbers}\na.jpg,tag,dog\n"
    shapes, dropped = only(put(tmp_path / "a.csv", rows.replace(",", sign)))
    assert [one.geometry for one in shapes] == [[2, 3, 12, 23], True] and not dropped.counts


@pytest.mark.parametrize(
    "columns", ["x,y,score", "y,x", "x_center,y_center,width,height", "x,y,width", "a,b,c,d"]
)
def test_columns_that_may_be_anything_are_refused(tmp_path, columns):
    path = put(tmp_path / "a.csv", f"image,kind,class,{columns}\na.jpg,click,cat,1,2,3,4\n")
    with pytest.raises(UserError, match="the columns behind the class are called") as error:
        read(path)
    assert columns.split(",")[0] in str(error.value)


@pytest.mark.parametrize(
    "head, line, why",
    [
        ("x,y", "bbox,cat,1,2,3,4", "did you mean box?"),
        ("x,y", "circle,cat,1,2,3,4", "known are click"),
        ("x,y", "click,cat,1,,2", "a coordinate is missing"),
        ("x,y", "polygon,cat,1,1,,,9,1,9,9", "a coordinate is missing"),
        ("x,y", "box,cat,1,2,3", "odd number"),
        ("x,y,width,height", "box,cat,1,2,3", "a box of 3 numbers"),
        ("x,y,width,height", "box,cat,9,9,-3,-3", "negative width"),
        ("x,y,width,height", "polygon,cat,1,1,9,1,9,9", "columns are the sides of boxes"),
        ("xmin,xmax,ymin,ymax", "click,cat,1,2", "columns are the sides of boxes"),
    ],
)
def test_a_line_that_means_nothing_is_counted_with_its_reason(tmp_path, head, line, why):
    shapes, dropped = only(put(tmp_path / "a.csv", f"image,kind,class,{head}\na.jpg,{line}\n"))
    assert not shapes and dropped.hidden == {"a.jpg"}
    assert why in reasons(dropped)[0]


@pytest.mark.parametrize(
    "before", ["\n\r\n", "# my labels, and notes\n\n", "sep=,\r\n", '"sep=,"\n']
)
def test_what_stands_before_the_names_of_columns_is_skipped(tmp_path, before):
    path = put(tmp_path / "a.csv", f"{before}{HEAD}\na.jpg,click,cat,1,2\n\na.jpg,click,cat,1,x\n")
    if before.startswith('"'):
        with pytest.raises(UserError, match="our own tables begin with image,kind,class,x,y"):
            read(path)
        return
    shapes, dropped = only(path)
    assert [one.geometry for one in shapes] == [[1, 2]]
    assert reasons(dropped) == ["a coordinate that is no number"]
    assert f"line {4 + before.count(chr(10))}" in dropped.lines()[0]


@pytest.mark.parametrize(
    "head", ['"image,kind,class",x,y', "\x00image,kind,class", '"image', "x" * 200_000]
)
def test_no_first_line_derails_the_reader(tmp_path, head):
    with pytest.raises(UserError, match="of no format that is known"):
        read(put(tmp_path / "a.csv", f"{head}\na.jpg,click,cat,1,2\n"))


@pytest.mark.parametrize("rows", ["a.jpg, 1, 0\nb.jpg, 0, 1\n", "a.jpg, 120, 80\n"])
def test_a_table_of_classes_a_picture_is_called_what_it_is(tmp_path, rows):
    with pytest.raises(UserError) as error:
        read(put(tmp_path / "_classes.csv", f"filename, cat, dog\n{rows}"))
    assert ("which classes each picture shows" in str(error.value)) == ("120" not in rows)
