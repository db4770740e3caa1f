"""What TRL's losses need of a model and of a trainer, and no more, so that its formulas alone are asked. Knows no stage."""

from collections import defaultdict
from types import SimpleNamespace

import torch


def trl_model(model):
    """Return a model that answers as TRL's fused language head does: log-probabilities of labels, 0 where those are -100."""
    from trl.trainer.utils import selective_log_softmax

    def answer(input_ids, attention_mask, labels, **_):
        scores = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits[:, :-1].float()
        wanted = labels[:, 1:]
        found = selective_log_softmax(scores, wanted.clamp(min=0)) * (wanted != -100)
        blank = torch.zeros(wanted.shape)
        return SimpleNamespace(log_probs=found, entropy=blank, mean_logits=blank, is_top1=blank.bool())

    return answer


def trl_trainer(**settings):
    """Return what a trainer's `_compute_loss` reads of itself, the reference's log-probabilities computed beforehand."""
    accelerator = SimpleNamespace(device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x)
    metrics = {"train": defaultdict(list)}
    return SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=accelerator, _metrics=metrics, _total_train_tokens=0, _tp_size=1,
        aux_loss_enabled=False, precompute_ref_logps=True, **settings,
    )  # fmt: skip
