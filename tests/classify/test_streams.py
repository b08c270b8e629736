import numpy as np

from stadet.classify.streams import flow_image, hog, hog_image, optical_flow, three_streams


def moving_texture(shift=3, length=3):
    """A smooth random picture that moves to the right by `shift` pixels a frame."""
    import cv2

    noise = np.random.default_rng(0).random((80, 120)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 3)
    texture = ((texture - texture.min()) / (texture.max() - texture.min()) * 255).astype(np.uint8)
    frames = [texture[8:72, 40 - t * shift : 40 - t * shift + 72] for t in range(length)]
    return np.repeat(np.stack(frames)[..., None], 3, axis=-1)


def test_flow_is_the_motion_in_pixels_a_frame():
    flow = optical_flow(moving_texture(shift=3))
    assert flow.shape == (3, 64, 72, 2) and flow.dtype == np.float32
    inner = flow[0, 16:48, 16:56]
    assert abs(np.median(inner[..., 0]) - 3) < 0.3 and abs(np.median(inner[..., 1])) < 0.3
    assert (flow[2] == flow[1]).all()


def test_a_single_frame_and_a_still_clip_do_not_move():
    frame = moving_texture()[:1]
    assert (optical_flow(frame) == 0).all()
    assert np.abs(optical_flow(frame.repeat(3, axis=0))).max() < 0.2  # pixels


def test_flow_images_are_grey_without_motion_and_clip_what_is_fast():
    flow = np.zeros((1, 2, 2, 2), np.float32)
    flow[0, 0, 0], flow[0, 1, 1] = (10, 0), (-400, 300)
    image = flow_image(flow, bound=20)
    assert image.dtype == np.uint8
    assert image[0, 0, 1].tolist() == [128, 128, 0]
    assert image[0, 0, 0].tolist() == [192, 128, 128]
    assert image[0, 1, 1].tolist() == [1, 255, 255]


def hog_by_loops(grey):
    """The definition, a pixel at a time."""
    rows, columns = grey.shape[0] // 8, grey.shape[1] // 8
    grey = np.pad(grey[: rows * 8, : columns * 8].astype(float), 1, mode="reflect")
    cells = np.zeros((rows, columns, 9))
    for y in range(rows * 8):
        for x in range(columns * 8):
            dx = grey[y + 1, x + 2] - grey[y + 1, x]
            dy = grey[y + 2, x + 1] - grey[y, x + 1]
            position = np.degrees(np.arctan2(dy, dx)) % 180 / 20 - 0.5
            lower = int(np.floor(position))
            share = position - lower
            cells[y // 8, x // 8, lower % 9] += np.hypot(dx, dy) * (1 - share)
            cells[y // 8, x // 8, (lower + 1) % 9] += np.hypot(dx, dy) * share
    energy = np.pad((cells**2).sum(-1), 1, mode="reflect")
    around = sum(energy[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    return cells / np.sqrt(around + 1)[..., None]


def test_hog_against_its_definition():
    frame = np.random.default_rng(1).integers(0, 256, (28, 33), np.uint8)
    found = hog(np.repeat(frame[..., None], 3, axis=-1))
    assert found.shape == (3, 4, 9)
    np.testing.assert_allclose(found, hog_by_loops(frame), atol=2e-3)


def test_an_upright_edge_is_drawn_upright():
    frame = np.zeros((24, 24, 3), np.uint8)
    frame[:, 12:] = 255
    image = hog_image(frame)
    assert image.shape == frame.shape
    middle = image[8:16, 8:16, 0].astype(int)  # the cell that the edge crosses
    assert middle.sum(axis=0).max() > 4 * middle.sum(axis=1).max() / 2
    assert (hog_image(np.full((24, 24, 3), 99, np.uint8)) == 0).all()


def test_three_streams_have_the_clips_shape():
    frames = moving_texture()
    flow, edges = three_streams(frames)
    assert flow.shape == edges.shape == frames.shape
    assert flow.dtype == edges.dtype == np.uint8
