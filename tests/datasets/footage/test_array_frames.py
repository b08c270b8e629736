"""An array behaves as the file of the same frames."""

import pickle
from fractions import Fraction

import numpy as np
import pytest

from stadet.datasets.footage.video import Video, open_video
from stadet.engine.errors import UserError
from tests.datasets.numbered_videos import write_numbered


def test_an_array_reads_as_its_video(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4", count=9, rate=Fraction(30)))
    images = np.stack([image for _, image in video.frames()])
    array = Video.from_array(images, fps=30, name="b")
    assert (len(array), array.size, array.rate, array.name) == (9, video.size, 30, "b")
    np.testing.assert_allclose(array.timestamps, video.timestamps, atol=1e-9)
    for (i, ours), (j, theirs) in zip(array.read([0, 3, 8]), video.read([0, 3, 8]), strict=True):
        assert i == j and (ours == theirs).all()
    assert (pickle.loads(pickle.dumps(array)).frame(4) == video.frame(4)).all()
    assert array.digest == Video.from_array(images.copy()).digest
    assert array.digest != Video.from_array(images[::-1]).digest
    array.frame(0)[:] = 0
    assert (array.frame(0) == video.frame(0)).all()
    with pytest.raises(IndexError):
        array.frame(9)


@pytest.mark.parametrize(
    ("shape", "dtype", "fps", "message"),
    [
        ((4, 5, 3), np.uint8, 25, r"expected an array \(T, H, W, 3\) of uint8, found uint8 \(4, 5"),
        ((2, 4, 5, 3), np.float32, 25, "found float32"),
        ((0, 4, 5, 3), np.uint8, 25, r"found uint8 \(0, 4"),
        ((2, 4, 5, 3), np.uint8, 0, "fps: expected a number above 0, found 0"),
    ],
)
def test_other_arrays_are_refused(shape, dtype, fps, message):
    with pytest.raises(UserError, match=message):
        Video.from_array(np.zeros(shape, dtype), fps=fps)
