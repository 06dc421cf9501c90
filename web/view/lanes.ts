// Lanes: blocks that do not meet in time may lie beside each other.

export interface Block { from: number; to: number; height: number; top: number }

interface Lane { top: number; height: number; free: number } // free: from when on

/**
 * Gives each block (they come by their beginning) a top, so that no two overlap, and
 * returns the height of all. A block goes into the highest free lane that fits it: of its
 * own height or, at most twice, higher. gap is the least time between two in a lane.
 */
export function pack(blocks: Block[], gap: number): number {
  const free = new Map<number, Heap>(); // by height: those whose last block is over, by top
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
