"""Step rows on their way from many small messages into few large ones."""

from collections.abc import Iterable, Sequence

from rheostat.runs.records import StepRows

_DOUBLE_BYTES = 8


def merge(batches: Sequence[StepRows]) -> StepRows:
    """Join batches of the same run, in order, into one.

    Batches without steps (a validation after the last one) add their other columns only.
    """
    stepped = [batch for batch in batches if batch.count] or list(batches[:1])
    first = stepped[0]
    return StepRows(
        first_step=first.first_step,
        count=sum(batch.count for batch in stepped),
        train_loss=b"".join(batch.train_loss for batch in stepped),
        learning_rate=_join(batch.learning_rate for batch in stepped),
        duration=b"".join(batch.duration for batch in stepped),
        base=_join(batch.base for batch in stepped),
        momentum=_join(batch.momentum for batch in stepped),
        components=_changes(batch.components for batch in stepped),
        gradient_norm=_union(batch.gradient_norm for batch in batches),
        validation_loss=_union(batch.validation_loss for batch in batches),
        validation_accuracy=_union(batch.validation_accuracy for batch in batches),
        skipped_at_loss_scale=_union(batch.skipped_at_loss_scale for batch in batches),
    )


def follows(batch: StepRows, last: StepRows) -> bool:
    """Whether a batch continues another without a gap, so that both can be one.

    A swapped schedule may begin or cease to move a momentum; then there is a column more or less.
    """
    if not batch.count or not last.count:
        return True
    is_next = batch.first_step == last.first_step + last.count
    return is_next and batch.momentum.keys() == last.momentum.keys()


def cut(batch: StepRows, start: int, end: int) -> StepRows:
    """Return the part of a batch from one step to before another; both lie within it.

    A validation stands after the step that came before it, and stays with that one.
    """
    first = max(start, batch.first_step)
    count = max(min(end, batch.first_step + batch.count) - first, 0)
    since = (first - batch.first_step) * _DOUBLE_BYTES
    until = since + count * _DOUBLE_BYTES
    components = {step: text for step, text in batch.components.items() if first < step < end}
    before = [step for step in batch.components if step <= first]
    oldest = first + 1 if first > batch.first_step else 0
    if before:
        components = {first: batch.components[max(before)], **components}
    return StepRows(
        first_step=first,
        count=count,
        train_loss=batch.train_loss[since:until],
        learning_rate=_slices(batch.learning_rate, since, until),
        duration=batch.duration[since:until],
        base=_slices(batch.base, since, until),
        momentum=_slices(batch.momentum, since, until),
        components=components,
        gradient_norm=_within(batch.gradient_norm, first, end),
        validation_loss=_within(batch.validation_loss, oldest, end + 1),
        validation_accuracy=_within(batch.validation_accuracy, oldest, end + 1),
        skipped_at_loss_scale=_within(batch.skipped_at_loss_scale, first, end),
    )


def end_of(batch: StepRows) -> int:
    """Return the first step after a batch."""
    return batch.first_step + batch.count


def _slices(column: dict[str, bytes], since: int, until: int) -> dict[str, bytes]:
    return {name: values[since:until] for name, values in column.items()}


def _within(column: dict[int, float], first: int, end: int) -> dict[int, float]:
    return {step: value for step, value in column.items() if first <= step < end}


def _join(columns: Iterable[dict[str, bytes]]) -> dict[str, bytes]:
    joined: dict[str, list[bytes]] = {}
    for column in columns:
        for name, values in column.items():
            joined.setdefault(name, []).append(values)
    return {name: b"".join(values) for name, values in joined.items()}


def _changes(logs: Iterable[dict[int, str]]) -> dict[int, str]:
    """Join what holds from a step on, without repeating what held before."""
    joined: dict[int, str] = {}
    last = None
    for log in logs:
        for step, value in log.items():
            if value != last:
                joined[step] = last = value
    return joined


def _union(columns: Iterable[dict[int, float]]) -> dict[int, float]:
    return {key: value for column in columns for key, value in column.items()}
