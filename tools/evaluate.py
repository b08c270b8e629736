"""stad evaluate: detections against truth, to JSON, Markdown and an HTML page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import add_overwrite, make_parser

SUMMARY = "score a checkpoint or a detections file; write the report"
EXAMPLES = """\
examples:
  stad evaluate --ground-truth gt.json --detections detections.jsonl --out report
  stad evaluate --data dataset.yaml --side val --detections detections.jsonl --out report
  stad evaluate --data dataset.yaml --side test --checkpoint runs/yolov3/best.pt \\
      --threshold-from runs/yolov3/report/metrics.json --out runs/yolov3/test
  stad evaluate --ground-truth gt.json --detections results.json --protocol coco --out coco
  stad evaluate --ground-truth ava_val_v2.2.csv --detections results.csv --protocol ava \\
      --label-map ava_action_list.pbtxt --excluded ava_val_excluded_timestamps.csv --out ava
  stad evaluate --data dataset.yaml --side val --tubes tubes.json --protocol multisports --out tubes

detections: stad-detections/1 JSON Lines, COCO results (a list of image_id, category_id, bbox,
score) with their --ground-truth, or AVA's csv. The report: metrics.json, report.md, report.html
(one file, no network) and ranking.npz, from which stad compare draws its intervals.
tubes: stad-tubes/1, scored as video-mAP, events and ids; the report is metrics.json and report.md.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("evaluate", SUMMARY, EXAMPLES)
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--detections", help="a detections file")
    what.add_argument("--checkpoint", help="best.pt of a run: predicts first")
    what.add_argument("--tubes", help="a tube file: video-mAP, events and ids")
    add(
        "--ground-truth",
        help="COCO-video JSON, or AVA's csv; may take the place of the data set's own annotations",
    )
    add("--data", help="data set file (default with --checkpoint: the one it was trained with)")
    add(
        "--side",
        choices=["train", "val", "test"],
        help="score only this side of the split (default with --checkpoint: val)",
    )
    add("--out", required=True, help="folder of the report")
    add(
        "--protocol",
        default="voc",
        help="voc (default), yowo, coco, ava or multisports; see docs/protocols.md",
    )
    add("--label-map", help="AVA's list of action ids and names, with its csv as truth")
    add("--excluded", help="AVA's csv of excluded timestamps, with its csv as truth")
    add(
        "--thresholds",
        type=float,
        nargs="+",
        help="with --tubes: overlaps (default: 0.1 0.2 0.5 0.75)",
    )
    add(
        "--threshold",
        type=float,
        help="score from which detections count for precision and recall, and tubes as events",
    )
    add(
        "--threshold-from",
        help="metrics.json whose thresholds are applied (learnt on another side)",
    )
    add("--video-map", action="store_true", help="link tubes; score them, their events and ids too")
    add(
        "--top", type=int, nargs="+", default=[5, 24], help="means over the K most frequent classes"
    )
    add("--min-clips", type=int, default=10, help="of those with at least so many clips")
    add(
        "--allow-overlap",
        action="store_true",
        help="score a checkpoint on frames it was trained on, too",
    )
    add(
        "--fps",
        help="with --checkpoint: frames a second shown to a model that uses earlier frames "
        "(default: those of its training; native: every frame)",
    )
    add("--only-processed", action="store_true", help="leave out frames the model never reached")
    add(
        "--motionless",
        default="tracks",
        help='where hands rest, for direction accuracy there: JSON {"video": [[first, last], ..]}, '
        "or restaurant.json of generated footage (default: measured from the truth's tracks)",
    )
    add("--bootstrap", type=int, default=1000, help="replicates of the intervals; 0 = none")
    add("--gallery", type=int, default=6, help="frames of each kind on the page; 0 = none")
    add("--title", help="heading of the report")
    add("--strict", action="store_true", help="anything wrong with the detections is an error")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError
    from stadet.engine.files import expect_absent
    from stadet.tools.evaluation.evaluate import evaluate_checkpoint, evaluate_detections

    files = ("metrics.json", "report.md", "report.html", "ranking.npz")
    expect_absent(*(Path(args.out) / name for name in files), overwrite=args.overwrite)
    if args.tubes:
        from stadet.tools.evaluation.tubes import evaluate_tubes

        result = evaluate_tubes(
            args.tubes,
            ground_truth=args.ground_truth,
            data=args.data,
            side=args.side,
            out=args.out,
            protocol=args.protocol,
            thresholds=args.thresholds,
            threshold=args.threshold,
            title=args.title,
        )
        for note in result.notes:
            print(f"note: {note}", file=sys.stderr)
        for name, value in result.means.items():
            print(f"video-mAP@{name} {value:.4f}")
        caught = result.happened
        print(f"event F1@0.5 {caught.at_iou[0.5].f1:.4f} ({caught.events:,} of {caught.truths:,})")
        print(f"HOTA {caught.tracking_mean('hota'):.4f}, IDF1 {caught.tracking_mean('idf1'):.4f}")
        print(f"\nreport: {args.out}/report.md")
        return
    if args.thresholds:
        raise UserError("--thresholds: expected --tubes with it; detections have fixed overlaps")
    options = {
        name: getattr(args, name)
        for name in (
            "out",
            "ground_truth",
            "data",
            "protocol",
            "threshold",
            "threshold_from",
            "video_map",
            "top",
            "min_clips",
            "only_processed",
            "motionless",
            "bootstrap",
            "gallery",
            "title",
            "strict",
            "label_map",
            "excluded",
        )
    }
    if args.checkpoint:
        result = evaluate_checkpoint(
            args.checkpoint,
            side=args.side or "val",
            allow_overlap=args.allow_overlap,
            fps=args.fps,
            **options,
        )
    else:
        result = evaluate_detections(args.detections, side=args.side, **options)
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    print(result.summary())


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
