"""Film a generated restaurant counter, train a small detector on it and score it.

python examples/train_on_generated_footage.py demo_run
"""

import sys
from pathlib import Path

import stadet


def main(folder: str, minutes: float = 2.0, *overrides: str) -> stadet.EvaluationResult:
    out = Path(folder)
    footage = stadet.FootageConfig(minutes=minutes, scenes=2, size=(64, 112), hand_scale=2.4)
    data = stadet.write_footage(out / "footage", footage, workers=1)
    config = stadet.load_config(
        stadet.TrainConfig,
        stadet.find_config("demo_frame"),
        [f"data.dataset={data}", f"output={out / 'run'}", *overrides],
    )
    run = stadet.train(config)
    print(f"best checkpoint: {run.best}; report: {run.report}")
    result = stadet.evaluate_checkpoint(run.best, out=out / "val", bootstrap=0, gallery=0)
    print(f"frame-mAP@0.5 on the validation side: {result.evaluation.frame_map.mean_at(0.5):.3f}")
    return result


if __name__ == "__main__":
    main(sys.argv[1])
