"""Speed of YOWO: the forward pass, decoding with suppression, and whole videos.

    taskset -c 0 python benchmarks/yowo_inference.py --backbones resnext101
    python benchmarks/yowo_inference.py --only decode
    python benchmarks/yowo_inference.py --device cuda --only forward

On the CPU, ratios over the plain eager forward of one clip; what torch.compile takes to prepare is
not counted. On a GPU, clips a second over batch sizes. `video` compares, from the same footage,
the published way (T image files read for every key frame, one clip at a time, eager, loops over
boxes) with `stad predict`. Needs torch, torchvision and numpy; `video` also what reads videos.
"""

from __future__ import annotations

import argparse
import functools
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from loop_decode import decode_by_loops
from torch import Tensor

from stadet.anchors.presets import preset
from stadet.detect.nms import suppress, to_detections
from stadet.detect.runtime.compiled import compile_frozen, fold_for_inference
from stadet.detect.view import View
from stadet.engine.allocator import keep_freed_memory
from stadet.engine.errors import UserError
from stadet.yowo.model import YOWO

if TYPE_CHECKING:
    from stadet.tools.inference.detectors import DetectorFile

CLASSES = 24
SIDE = 224
VIDEO_SIZE = (240, 320)
FLOOR, IOU = 0.005, 0.4  # as published for UCF101-24, suppression over all classes
PARTS = ("forward", "decode", "video")


def main() -> None:
    args = _parse()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    print(f"{chip}, {args.threads} CPU threads, torch {torch.__version__}, seed {args.seed}")
    parts = {
        "forward": forward_cuda if device.type == "cuda" else forward_cpu,
        "decode": decode,
        "video": video,
    }
    for part in args.only or PARTS:
        print(f"\n{part}", flush=True)
        with torch.inference_mode():
            parts[part](args, device)


def forward_cpu(args: argparse.Namespace, device: torch.device) -> None:
    """One clip of 16 frames: milliseconds, ratio over eager, RMS of the difference over RMS.

    First what the processor can do: no forward pass has more operations a second than a large
    matrix product.
    """
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.randn(2048, 2048).to(dtype)
        seconds = _median(lambda matrix=matrix: matrix @ matrix, args)
        print(f"matrix product, {dtype}: {2 * 2048**3 / seconds / 1e9:.0f} GFLOP/s")
    clip = _clips(1, args.frames, device)
    for name in args.backbones:
        model = _network(name, args.frames)
        expected = model(clip)[0][0]
        eager = _median(lambda model=model: model(clip), args)
        _row(f"{name}, eager", eager, 1.0, 0.0)
        for label, run in _cpu_variants(model, clip, args):
            difference = _rms(run().float() - expected) / _rms(expected)
            seconds = _median(run, args)
            _row(f"{name}, {label}", seconds, eager / seconds, difference.item())


def _cpu_variants(
    model: YOWO, clip: Tensor, args: argparse.Namespace
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    folded = fold_for_inference(model, clip)
    yield "folded, channels last", lambda: folded(clip)[0][0]
    compiled = compile_frozen(folded)
    yield "the same, compiled", lambda: compiled(clip)[0][0]

    def in_bf16() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return compiled(clip)[0][0]

    yield "the same, bf16", in_bf16
    if args.sessions:
        yield from _sessions(model, clip)


def _sessions(model: YOWO, clip: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """The exported network, which decodes too."""
    from stadet.detect.runtime.onnx_export import export_onnx, read_description
    from stadet.detect.runtime.quantise import quantise_int8
    from stadet.detect.runtime.session_detector import SessionDetector
    from stadet.detect.runtime.sessions import SESSIONS

    content = export_onnx(model, (SIDE, SIDE), batch=1)
    expected = model(clip)[0][0]
    boxes = model.decode([expected]).boxes
    calibration = [{"frames": _clips(1, clip.shape[1], clip.device).numpy()} for _ in range(2)]
    int8 = functools.cache(lambda: quantise_int8(content, calibration))
    for runtime, precision, label in (
        ("onnx", "fp32", "fp32"),
        ("openvino", "fp32", "fp32"),
        ("openvino", "bf16", "bf16"),
        ("openvino", "fp32", "int8"),
        ("openvino", "bf16", "int8, the rest bf16"),
    ):
        try:
            own = int8() if "int8" in label else content
            session = SESSIONS[runtime](own, precision)
        except UserError as error:
            print(error)
            continue
        detector = SessionDetector(session, read_description(own, runtime))

        def run(detector: SessionDetector = detector) -> Tensor:
            # boxes in place of maps: their relative difference, put on the maps
            return expected * (1 + _rms(detector(clip)[0][0] - boxes) / _rms(boxes))

        yield f"{runtime} {label}", run


def forward_cuda(args: argparse.Namespace, device: torch.device) -> None:
    """Clips a second (each answers for one frame) at 8 and 16 frames, over batch sizes."""
    torch.backends.cudnn.benchmark = True
    for name in args.backbones[:1]:
        for frames in (8, 16):
            model = _network(name, frames).to(device)
            folded = fold_for_inference(model, _clips(1, frames, device))
            best: dict[str, tuple[float, int]] = {}
            for batch in args.batches:
                clips = _clips(batch, frames, device)
                for label, run in _cuda_variants(model, folded, clips):
                    rate = batch / _median(run, args, device)
                    print(f"{name}, T {frames}, batch {batch:3}: {label:32} {rate:8.0f}/s")
                    best[label] = max(best.get(label, (0.0, 0)), (rate, batch))
            for label, (rate, batch) in best.items():
                print(f"{name}, T {frames}, best: {label:37} {rate:8.0f}/s at batch {batch}")
            _compiled_cuda(name, folded, frames, max(best.values())[1], args, device)


def _cuda_variants(
    model: YOWO, folded: torch.nn.Module, clips: Tensor
) -> Iterator[tuple[str, Callable[[], object]]]:
    def half(network: torch.nn.Module) -> Callable[[], object]:
        def run() -> object:
            with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
                return network(clips)

        return run

    yield "eager, fp32", lambda: model(clips)
    yield "folded, channels last, bf16", half(folded)
    yield "the same as a CUDA graph", _graphed(half(folded))


def _graphed(run: Callable[[], object]) -> Callable[[], object]:
    """A pass captured once and replayed without its launches."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def _compiled_cuda(
    name: str,
    folded: torch.nn.Module,
    frames: int,
    best_batch: int,
    args: argparse.Namespace,
    device: torch.device,
) -> None:
    """torch.compile in bf16 while there is time for it, since each shape is compiled separately."""
    compiled = compile_frozen(folded)
    for batch in sorted({1, best_batch}):
        left = args.budget - (time.perf_counter() - args.start)
        if left < 0:
            print(f"{name}, T {frames}, batch {batch:3}: compiled: left out, --budget is used up")
            continue
        clips = _clips(batch, frames, device)

        def run(clips: Tensor = clips) -> object:
            with torch.autocast("cuda", torch.bfloat16):
                return compiled(clips)

        began = time.perf_counter()
        run()
        torch.cuda.synchronize()
        took = time.perf_counter() - began
        rate = batch / _median(run, args, device)
        label = f"compiled, bf16 ({took:.0f} s to compile)"
        print(f"{name}, T {frames}, batch {batch:3}: {label:32} {rate:8.0f}/s", flush=True)


def decode(args: argparse.Namespace, device: torch.device) -> None:
    """Map to detections of one clip whose 245 boxes are all above the floor."""
    model = _network("mobilenetv2_1x", 16, width=0.125)
    level = torch.randn(1, 5, 5 + CLASSES, 7, 7)
    level[:, :, 4] += 3
    view = View.resize(VIDEO_SIZE, (SIDE, SIDE))

    def ours(agnostic: bool):
        found = suppress(model.decode([level]), FLOOR, IOU, 245, agnostic)
        return to_detections(found[0], view)

    above = model.decode([level]).scores > FLOOR
    candidates, pairs = int(above.any(-1).sum()), int(above.sum())
    by_loops = decode_by_loops(level, model.anchor_sizes, FLOOR, IOU)
    kept = ours(True)
    assert len(by_loops) == len(kept)
    found = np.array([box for _, box in by_loops]) * np.tile(np.array(VIDEO_SIZE)[::-1] / SIDE, 2)
    clipped = np.clip(found, 0, np.tile(np.array(VIDEO_SIZE)[::-1], 2))
    assert np.allclose(clipped, kept.boxes, atol=1e-2)
    print(f"{candidates} candidates, {len(kept)} kept")
    loops = _median(lambda: decode_by_loops(level, model.anchor_sizes, FLOOR, IOU), args)
    _row("loops over boxes and classes", loops, 1.0)
    for label, agnostic in (
        ("over all classes", True),
        (f"class by class, {pairs} boxes", False),
    ):
        runs = argparse.Namespace(repeats=50, warmup=5, clock=args.clock)
        seconds = _median(lambda agnostic=agnostic: ours(agnostic), runs)
        _row(f"ours, {label}", seconds, loops / seconds)


def video(args: argparse.Namespace, device: torch.device) -> None:
    """Frames a second of one 320x240 file, from its path to detections."""
    from stadet.datasets.footage.video import open_video
    from stadet.tools.inference.predictor import Predictor
    from stadet.tools.inference.runtimes import RuntimeOptions

    name = args.backbones[0]
    model = _network(name, args.frames)
    with tempfile.TemporaryDirectory() as folder:
        path, images = _footage(Path(folder), args.video_frames)
        began = time.perf_counter()
        for key in range(args.video_frames):
            _published_way(model.to(device), images, key, device)
        before = args.video_frames / (time.perf_counter() - began)
        print(f"{name}, published way: {before:.2f} frames a second", flush=True)
        keep_freed_memory()  # as every verb does
        options = [RuntimeOptions(), RuntimeOptions("compiled"), RuntimeOptions("compiled", "bf16")]
        options.append(RuntimeOptions("compiled", "bf16", temporal_every=4))
        if device.type == "cpu":
            options.append(RuntimeOptions("openvino"))
        for option in options:
            detector = _detector(model, args.frames)
            if option.exported:
                try:
                    detector = _int8(detector, path, Path(folder))
                except UserError as error:
                    print(error)
                    continue
            predict = Predictor(detector, device, runtime=option)
            footage = open_video(path)
            # once for compilation: a whole batch
            list(predict(footage.frames(0, predict.window), "a", footage.size))
            began = time.perf_counter()
            count = sum(1 for _ in predict(footage.frames(), "a", footage.size))
            rate = count / (time.perf_counter() - began)
            precision = "int8 file" if option.exported else option.precision
            label = f"stad predict, {option.runtime}, {precision}"
            if option.temporal_every > 1:
                label += f", 3D branch every {option.temporal_every} frames"
            print(f"{name}, {label}: {rate:.2f} frames a second, {rate / before:.2f} x", flush=True)


def _footage(folder: Path, count: int) -> tuple[Path, list[Path]]:
    """The same noise as a video file and as image files."""
    import cv2

    from stadet.datasets.footage.writer import VideoWriter

    rng, path, images = np.random.default_rng(0), folder / "a.mp4", []
    with VideoWriter(path, VIDEO_SIZE, 25) as writer:
        for index in range(count):
            coarse = rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)
            image = cv2.resize(coarse, VIDEO_SIZE[::-1], interpolation=cv2.INTER_CUBIC)
            writer.write(image)
            images.append(folder / f"{index:05}.jpg")
            cv2.imwrite(str(images[-1]), image)
    return path, images


def _published_way(model: YOWO, images: list[Path], key: int, device: torch.device) -> None:
    import cv2

    indices = [max(0, key - model.clip_length + 1 + n) for n in range(model.clip_length)]
    clip = [cv2.resize(cv2.imread(str(images[i])), (SIDE, SIDE)) for i in indices]
    frames = torch.from_numpy(np.stack(clip)).permute(0, 3, 1, 2)[None].to(device)
    decode_by_loops(model(frames)[0][0].cpu(), model.anchor_sizes.cpu(), FLOOR, IOU)


def _int8(detector: DetectorFile, footage: Path, folder: Path) -> DetectorFile:
    """As `stad export --int8` writes it, calibrated on two clips of the footage."""
    from stadet.detect.runtime.quantise import quantise_int8
    from stadet.tools.inference.calibration import calibration_feeds
    from stadet.tools.inference.exported import export_detector, open_exported

    content, path = export_detector(detector), folder / "int8.onnx"
    feeds = calibration_feeds(content, detector.config.data, {"a": footage}, 2)
    path.write_bytes(quantise_int8(content, feeds))
    return open_exported(path, "openvino")


def _detector(model: YOWO, frames: int) -> DetectorFile:
    from stadet.engine.config import from_dict
    from stadet.tools.inference.detectors import DetectorFile
    from stadet.tools.training.config import TrainConfig

    settings = {
        "model": "yowo",
        "data": {"size": [SIDE, SIDE], "resize": "stretch"},
        "inference": {"class_agnostic": True, "iou_threshold": IOU},
        "yowo": {"clip_length": frames},
    }
    config, names = from_dict(TrainConfig, settings, "benchmark"), tuple(map(str, range(CLASSES)))
    anchors = preset("yowo-ucf24")
    return DetectorFile(Path("benchmark"), model, names, config, anchors, {}, None)


def _network(backbone: str, frames: int, width: float = 1.0) -> YOWO:
    """Random weights that keep the size of what passes through, as trained ones do."""
    torch.manual_seed(0)
    anchors = preset("yowo-ucf24")
    model = YOWO(CLASSES, anchors, backbone=backbone, width=width, clip_length=frames)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if hasattr(module, "running_var"):
            module.momentum = 1.0  # statistics of the next batch alone
    with torch.no_grad():
        # batch norms see two clips as soft as the footage; then logits get the size of about 1
        coarse = torch.rand(2 * frames, 3, 8, 8)
        clips = torch.nn.functional.interpolate(coarse, (96, 96), mode="bicubic").clamp(0, 1)
        clips = clips.unflatten(0, (2, frames))
        model.train()(clips)
        model.conv_final.weight /= _rms(model.eval()(clips)[0][0])
    return model


def _clips(batch: int, frames: int, device: torch.device) -> Tensor:
    shape = (batch, frames, SIDE, SIDE, 3)  # as decoded frames lie in memory
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=device).permute(0, 1, 4, 2, 3)


def _median(
    run: Callable[[], object], args: argparse.Namespace, device: torch.device | None = None
) -> float:
    """Median seconds of a call."""
    seconds = []
    for repeat in range(args.warmup + args.repeats):
        began = args.clock()
        run()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        if repeat >= args.warmup:
            seconds.append(args.clock() - began)
    return statistics.median(seconds)


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


def _row(label: str, seconds: float, ratio: float, difference: float | None = None) -> None:
    tail = "" if difference is None else f"   difference {difference:.1e}"
    print(f"{label:40} {seconds * 1e3:10.2f} ms {ratio:8.2f} x{tail}", flush=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", default="cpu", help="cpu or cuda")
    add("--only", nargs="+", choices=PARTS, help="parts to run (default: all)")
    add(
        "--backbones",
        nargs="+",
        default=["resnext101", "resnet18", "mobilenetv2_1x"],
        help="`video` and the GPU take the first",
    )
    add("--frames", type=int, default=16, help="T, on the CPU")
    add("--batches", type=int, nargs="+", default=[1, 8, 32, 64], help="on a GPU")
    add("--budget", type=float, default=75, help="seconds after which a GPU compiles no more")
    add("--sessions", action="store_true", help="ONNX Runtime and OpenVINO too")
    add("--video-frames", type=int, default=24)
    add("--threads", type=int, default=1, help="of the CPU")
    add(
        "--cpu-seconds",
        action="store_true",
        help="of the process, for one thread on a busy machine",
    )
    add("--repeats", type=int, default=5)
    add("--warmup", type=int, default=1)
    add("--seed", type=int, default=0)
    args = parser.parse_args()
    args.start = time.perf_counter()
    args.clock = time.process_time if args.cpu_seconds else time.perf_counter
    return args


if __name__ == "__main__":
    main()
