// Decisions on the curves: a line where each acts, and what it was beside the pointer.

import { number } from "./numbers.js";
import { state, update } from "./state.js";
import { colour } from "./theme.js";

const NEAR = 7; // Pixels from the pointer to the mark that it means.

/** What kind of thing decided. */
export function kindOf(decision) {
  const [kind] = decision.source.split(":");
  return kind;
}

/** The decisions that a rollback has undone, by revision. */
export function undone(decisions) {
  const found = new Set();
  for (const { rollback, revision } of decisions) {
    if (!rollback) continue;
    for (const one of decisions) {
      if (one.revision > rollback.to_revision && one.revision < revision) found.add(one.revision);
    }
  }
  return found;
}

/** @returns a plugin of uPlot that draws and explains them. */
export function marks() {
  /** @type {HTMLElement} */
  let box;

  function nearest(plot) {
    const left = plot.cursor.left ?? -1;
    if (left < 0) return null;
    let best = null;
    let least = NEAR;
    for (const decision of state.decisions) {
      const distance = Math.abs(plot.valToPos(decision.applied_step, "x") - left);
      if (distance <= least) [best, least] = [decision, distance];
    }
    return best;
  }

  function explain(plot) {
    const decision = plot.cursor.event ? nearest(plot) : null;
    box.hidden = !decision;
    if (!decision) return;
    box.replaceChildren(...linesOf(decision));
    const left = plot.valToPos(decision.applied_step, "x");
    const isRight = left > plot.over.clientWidth / 2;
    box.style.left = isRight ? "auto" : `${left + 10}px`;
    box.style.right = isRight ? `${plot.over.clientWidth - left + 10}px` : "auto";
    box.style.top = "14px";
  }

  function draw(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const gone = undone(state.decisions);
    const taken = new Set();
    ctx.save();
    for (const decision of state.decisions) {
      const x = Math.round(plot.valToPos(decision.applied_step, "x", true));
      const isMarked = decision.revision === state.marked;
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      // Many in one place are drawn as one of each kind; the pointer finds the nearest all the same.
      const place = `${kindOf(decision)} ${Math.round(x / 2)}`;
      if (taken.has(place) && !isMarked) continue;
      taken.add(place);
      ctx.globalAlpha = isMarked ? 1 : gone.has(decision.revision) ? 0.25 : 0.55;
      ctx.strokeStyle = ctx.fillStyle = colour(`mark-${kindOf(decision)}`);
      ctx.lineWidth = (isMarked ? 2 : 1) * ratio;
      ctx.setLineDash(isMarked ? [] : [3 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.globalAlpha = gone.has(decision.revision) ? 0.4 : 1;
      glyph(ctx, kindOf(decision), x, bbox.top - 5 * ratio, 4.5 * ratio);
    }
    ctx.restore();
  }

  return {
    hooks: {
      init: (plot) => {
        box = document.createElement("div");
        box.className = "explains";
        box.hidden = true;
        plot.over.append(box);
        plot.over.addEventListener("click", () => {
          const decision = nearest(plot);
          if (decision) update({ marked: decision.revision, tab: "decisions" });
        });
        plot.over.addEventListener("pointerleave", () => {
          box.hidden = true;
        });
      },
      setCursor: explain,
      draw,
    },
  };
}

/** A shape for each kind, so that colour is not all that tells them apart. */
function glyph(ctx, kind, x, y, size) {
  ctx.beginPath();
  if (kind === "policy") ctx.arc(x, y, size * 0.9, 0, 2 * Math.PI);
  else if (kind === "guardrail") ctx.rect(x - size * 0.8, y - size * 0.8, size * 1.6, size * 1.6);
  else if (kind === "rollback") {
    ctx.moveTo(x + size, y - size);
    ctx.lineTo(x - size, y);
    ctx.lineTo(x + size, y + size);
  } else if (kind === "expiry") {
    ctx.moveTo(x, y - size);
    ctx.lineTo(x + size, y);
    ctx.lineTo(x, y + size);
    ctx.lineTo(x - size, y);
  } else {
    ctx.moveTo(x - size, y - size);
    ctx.lineTo(x + size, y - size);
    ctx.lineTo(x, y + size);
  }
  ctx.fill();
}

function linesOf(decision) {
  const title = document.createElement("strong");
  title.textContent = `${decision.who} · ${decision.what || "moved it"}`;
  const moved = decision.groups.filter((group) => group.old !== group.new);
  const texts = [
    `step ${decision.applied_step.toLocaleString("en")}, revision ${decision.revision}`,
    ...moved
      .slice(0, 4)
      .map(({ name, old, new: now }) => `${name}: ${number(old)} → ${number(now)}`),
    ...(moved.length > 4 ? [`and ${moved.length - 4} more groups`] : []),
    ...Object.values(decision.guardrails),
    ...(decision.reason ? [`“${decision.reason}”`] : []),
  ];
  return [
    title,
    ...texts.map((text) => {
      const line = document.createElement("div");
      line.textContent = text;
      return line;
    }),
  ];
}
