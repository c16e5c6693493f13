"""The bundle's bench: a firmware in one file takes a part of the flash that many files take."""

from hil.bench.bundle import measure


def test_one_file_takes_less_flash_than_many_and_about_as_much_heap() -> None:
    found = {figure.name: figure for figure in measure(lambda text: None, 1).figures}
    blocks, heap, rom = found["bundle.blocks"], found["bundle.heap"], found["romfs.heap"]
    assert blocks.value < blocks.peer_value / 2
    assert heap.value < heap.peer_value + 8192
    assert rom.value < heap.value
