import { named } from './causes.ts';
import { oneLine, short, type Span } from './model.ts';
import { stateOf } from './details.tsx';
import type { Store } from './store.ts';
import { count, duration } from './words.ts';

export function Tooltip({ store, at }: { store: Store; at: { x: number; y: number } }) {
  const { model, size } = store;
  const i: Span = store.hovered.value;
  const right = at.x > size.value.width - 330;
  const low = at.y > size.value.height - 130;
  const below = model.after[i] - i - 1;
  return (
    <div class="tooltip" role="tooltip" data-testid="tooltip" style={{
      [right ? 'right' : 'left']: `${right ? size.value.width - at.x + 14 : at.x + 14}px`,
      [low ? 'bottom' : 'top']: `${low ? size.value.height - at.y + 8 : at.y + 40}px`,
    }}>
      <b>{short(named(model, i), 120)}</b>
      <div><i class={`swatch ${stateOf(model, i).tone}`} />{stateOf(model, i).text}, {duration(model.end[i] - model.begin[i])}{model.stop[i] < 0 && !model.processes[model.process[i]]?.died ? ' so far' : ''}</div>
      <div class="muted">began at {duration(model.begin[i])}{below > 0 ? ` · ${count(below, 'span')} below` : ''}{model.processes.length > 1 ? ` · pid ${model.processes[model.process[i]].pid}` : ''}</div>
      {model.err[i] && <div class="error">{short(oneLine(model.err[i]), 240)}</div>}
    </div>
  );
}
