"""benchmarks/shards.py draws labels of ids and masks that no file holds."""

from argparse import Namespace

from benchmarks.discs import Ids
from benchmarks.shards import generate


def test_ids_are_a_list_that_is_never_made():
    ids = Ids(10**8)
    assert len(ids) == 10**8 and ids[-1] == "image_099999999"
    assert ids[3:10:4] == [ids[3], ids[7]]


def test_labels_of_all_images_are_written_and_measured(tmp_path):
    args = Namespace(output_dir=tmp_path, shards=3, jobs=1)
    few, many = generate(args, 5), generate(args, 500)
    assert many["shards"] > 5 * few["shards"] and many["index"] > 0
    assert many["parent"] > 0 and not list(tmp_path.iterdir())
