// Lanes: horizontal strips in which blocks lie one after the other in time.

export interface Block { from: number; to: number; height: number; top: number }

interface Lane { top: number; height: number; free: number } // free: the time from which it is free

/**
 * Sets the top of each block so that no two overlap, and returns the total height. The
 * blocks are sorted by their beginning. A block goes into the topmost of the free lanes
 * that have its height, or else the next greater height, up to twice its own. gap is the
 * least time between two blocks in a lane.
 */
export function pack(blocks: Block[], gap: number): number {
  const free = new Map<number, Heap>(); // by height: the free lanes, the topmost first
  const busy = new Heap((a, b) => a.free - b.free || a.top - b.top);
  const heights: number[] = [];
  let total = 0;
  for (const block of blocks) {
    while (busy.size > 0 && busy.peek().free <= block.from) {
      const lane = busy.pop();
      free.get(lane.height)!.push(lane);
    }
    let lane = take(block.height);
    if (!lane) {
      lane = { top: total, height: block.height, free: 0 };
      total += block.height;
      if (!free.has(block.height)) {
        free.set(block.height, new Heap((a, b) => a.top - b.top));
        heights.push(block.height);
        heights.sort((a, b) => a - b);
      }
    }
    block.top = lane.top;
    lane.free = block.to + gap;
    busy.push(lane);
  }
  return total;

  function take(height: number): Lane | undefined {
    for (const h of heights) {
      if (h > 2 * height) return undefined;
      if (h >= height && free.get(h)!.size > 0) return free.get(h)!.pop();
    }
    return undefined;
  }
}

class Heap {
  private items: Lane[] = [];
  constructor(private readonly order: (a: Lane, b: Lane) => number) {}

  get size(): number { return this.items.length; }

  peek(): Lane { return this.items[0]; }

  push(lane: Lane): void {
    const { items, order } = this;
    let i = items.push(lane) - 1;
    for (let up = (i - 1) >> 1; i > 0 && order(items[i], items[up]) < 0; up = (i - 1) >> 1) {
      [items[i], items[up]] = [items[up], items[i]];
      i = up;
    }
  }

  pop(): Lane {
    const { items, order } = this;
    const top = items[0];
    const last = items.pop()!;
    if (items.length === 0) return top;
    items[0] = last;
    for (let i = 0; ;) {
      let least = i;
      for (const below of [2 * i + 1, 2 * i + 2]) if (below < items.length && order(items[below], items[least]) < 0) least = below;
      if (least === i) return top;
      [items[i], items[least]] = [items[least], items[i]];
      i = least;
    }
  }
}
