"""FARMReader's inference with nothing padded: windows, any engine's forward pass, spans."""

from __future__ import annotations

from typing import Any

from haystack.modeling.infer import QAInferencer

from qa_app.reading.engines import Engine, translated
from qa_app.reading.spans import best_spans
from qa_app.reading.windows import windows_of


class PassageInferencer(QAInferencer):
    """Haystack's inferencer for question answering, whose forward pass is ``engine``'s.

    Tokens, windows, the choice among a passage's windows and offsets are Haystack's own; ``model`` remains for them,
    and for what else uses the weights.
    """

    def __init__(self, stock: QAInferencer, engine: Engine) -> None:
        super().__init__(
            model=stock.model,
            processor=stock.processor,
            task_type=stock.task_type,
            batch_size=stock.batch_size,
            gpu=stock.devices[0].type == "cuda",
            name=stock.name,
            disable_tqdm=True,
            devices=stock.devices,
        )
        self.engine = engine

    @translated(MemoryError)
    def _inference_without_multiprocessing(
        self, dicts: list[dict[str, Any]], return_json: bool, aggregate_preds: bool
    ) -> list[Any]:
        windows, baskets = windows_of(self.processor, dicts)
        if not windows:
            return []
        head = self.model.prediction_heads[0]
        temperature = head.temperature_for_confidence.item()
        samples = [sample for basket in baskets for sample in basket.samples]
        candidates = [
            best_spans(
                logits / temperature,
                sample.features[0]["seq_2_start_t"],
                sample.features[0]["passage_length"],
                count=head.n_best_per_sample,
                apart=head.duplicate_filtering,
                number=number,
            )
            for number, (sample, logits) in enumerate(zip(samples, self.engine.logits(windows)))
        ]
        predictions = head.formatted_preds(preds=candidates, baskets=baskets)
        return [prediction.to_json() for prediction in predictions] if return_json else predictions
