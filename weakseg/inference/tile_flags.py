"""The flags --tile and --tile_overlap of the commands that predict, without PyTorch's start."""

from weakseg.common import UserError

SMALLEST_TILE = 32  # pixels: the middle of a smaller window has nearly no surroundings
OVERLAP, MOST_OVERLAP = 0.25, 0.9  # at 0.9 a hundred windows see each pixel


def check_tile(tile: int | None, overlap: float | None) -> None:
    """Raise `UserError` for flags that mean nothing.

    tile: pixels of a window's side, 0: the usual side, None: no windows; overlap: None: the usual
    """
    if tile is None and overlap is not None:
        raise UserError(
            "--tile_overlap: says how far windows overlap, but there are none; add --tile"
        )
    if tile and tile < SMALLEST_TILE:
        raise UserError(
            f"--tile {tile}: a window has at least {SMALLEST_TILE} pixels a side; take more"
        )
    if overlap is not None and not 0 <= overlap <= MOST_OVERLAP:
        raise UserError(f"--tile_overlap {overlap}: must lie between 0 and {MOST_OVERLAP}")
