// A run's curves as they have come so far: columns of buckets, of which new ones replace the last.

/** Of one run, or of a part of it. */
export class Course {
  constructor() {
    this.first = 0;
    this.width = 1;
    this.end = 0;
    /** @type {number[]} The last step of each bucket. */
    this.steps = [];
    this.told = { loss: {}, validation: {}, groups: {}, components: null };
  }

  /** Take in what is told: everything, or what follows and may replace the last bucket. */
  take(told) {
    const since = told.is_whole === false ? (told.first - this.first) / this.width : 0;
    if (!since) this.first = told.first;
    this.width = told.width;
    this.end = told.end;
    const { loss, validation, groups, components } = told;
    this.told = since
      ? spliced(this.told, { loss, validation, groups, components }, since)
      : { loss, validation, groups, components };
    const count = loss.mean.length;
    this.steps.length = since;
    for (let index = since; index < since + count; index += 1) {
      this.steps.push(Math.min(this.first + (index + 1) * this.width, this.end) - 1);
    }
  }

  get groups() {
    return Object.keys(this.told.groups);
  }

  /** The bucket that holds a step, or the nearest one. */
  at(step) {
    const index = Math.floor((step - this.first) / this.width);
    return Math.max(0, Math.min(index, this.steps.length - 1));
  }

  /** Steps and values of the validations. */
  get validations() {
    const { step = [], loss = [], accuracy = [] } = this.told.validation;
    return step
      .map((one, index) => ({ step: one, loss: loss[index], accuracy: accuracy[index] }))
      .filter((one) => one.step !== null);
  }
}

/** Put columns after the first values of others; those that are new begin with nothing. */
function spliced(old, news, since) {
  if (Array.isArray(news)) {
    const kept = (old ?? []).slice(0, since);
    while (kept.length < since) kept.push(null);
    return kept.concat(news);
  }
  if (news === null || typeof news !== "object") return news;
  return Object.fromEntries(
    Object.entries(news).map(([name, value]) => [name, spliced(old?.[name], value, since)]),
  );
}
