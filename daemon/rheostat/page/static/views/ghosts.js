// What a dry run said, on the curves: where the LRs would go.

import { lookOfGroup } from "../pictures.js";
import { state } from "../state.js";
import { colour } from "../theme.js";

const LENGTH = 90; // Pixels to the right end.

/** @returns a plugin of uPlot that draws them. */
export function ghosts() {
  return { hooks: { draw } };
}

function draw(plot) {
  if (!state.ghost) return;
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  const right = bbox.left + bbox.width;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineWidth = 2 * ratio;
  ctx.setLineDash([2 * ratio, 4 * ratio]);
  for (const { name, new: rate } of state.ghost.groups) {
    if (!(name in state.course.told.groups)) continue;
    const y = Math.max(
      bbox.top + 3,
      Math.min(plot.valToPos(rate, "y", true), bbox.top + bbox.height - 3),
    );
    ctx.strokeStyle = ctx.fillStyle = colour(lookOfGroup(name).colour);
    ctx.beginPath();
    ctx.moveTo(right - LENGTH * ratio, y);
    ctx.lineTo(right - 8 * ratio, y);
    ctx.stroke();
    ctx.beginPath();
    ctx.arc(right - 5 * ratio, y, 3.5 * ratio, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.restore();
}
