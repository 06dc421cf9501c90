// The panel with all facts about the selected span.
import type { ComponentChildren } from 'preact';
import { chainOf, whyStopped, type Step } from './causes.ts';
import { shares } from './critical.ts';
import { beginsProcess, Flag, isQuiet, keyOf, none, processNote, scopeAbove, short, toneNames, Tone, type Model, type Span } from './model.ts';
import { groupIn, isSpan, type Node } from './folds.ts';
import type { Store } from './store.ts';
import { elide, elidePath, failureOf, innermost, pathNames, sayOnce } from './text.ts';
import { count, duration, lasted, percent, thousands } from './words.ts';

export function stateOf(m: Model, i: Span): { tone: string; text: string } {
  const tone = toneNames[m.tone[i]];
  const running = m.processes[m.process[i]]?.died ? ' when its process crashed or was killed' : '';
  if (!m.isScope[i]) {
    const text: Record<string, string> = {
      ok: m.trioVis ? 'ended' : m.tone[i] === Tone.Canceled ? 'cut short: it returned nil after it was canceled' : 'ended well', canceled: m.tone[i] === Tone.Stopped ? whyStopped(m, i) : 'canceled', exited: 'called runtime.Goexit', lost: 'ended in a gap of the log: nobody knows how',
      queued: `unfinished: not started${running}`, running: `unfinished: running${running}`, stuck: `given up, and not ended${running}`,
    };
    return { tone, text: text[m.state[i]] ?? m.state[i] };
  }
  if (m.state[i] === 'lost') return { tone, text: 'closed in a gap of the log: nobody knows how' };
  if (m.stop[i] < 0) return { tone, text: `unfinished: ${m.state[i]}${running}` };
  return { tone, text: m.tone[i] === Tone.Failed ? 'failed' : m.tone[i] === Tone.Canceled ? 'canceled' : m.tone[i] === Tone.Stopped ? whyStopped(m, i) : m.trioVis ? 'ended' : 'ended well' };
}

export function Details({ store }: { store: Store }) {
  return isSpan(store.cursor.value) ? <OfSpan store={store} i={store.cursor.value} /> : <OfGroup store={store} node={store.cursor.value} />;
}

function OfSpan({ store, i }: { store: Store; i: Span }) {
  const { model: m, causes } = store;
  const isScope = m.isScope[i] === 1;
  const state = stateOf(m, i);
  const chain = chainOf(m, causes, i);
  const ended = causes.ended.get(i);
  const canceled = causes.toll(ended ?? i);
  const end = m.cause.get(ended ?? i);
  const verb = end && isQuiet(end) ? 'stopped' : 'canceled';
  const wait = m.waiting.get(i);
  const cause = m.cause.get(i);
  const abandoned = m.abandoned.get(i) ?? [];
  return (
    <aside class="details" aria-label="Details" data-testid="details"><div class="columns">
      <Close store={store} />
      <h2>{short(m.names[i], 300)}{processNote(m, i)}</h2>
      <p class="kind"><i class={`swatch ${isScope ? '' : 'dot'} ${state.tone}`} />{isScope ? 'scope' : 'task'} · {state.text}</p>
      <p class="buttons">
        <button onClick={() => store.fitTo(i)}>Zoom to it</button>
        <button onClick={() => { store.showPath.value = !store.showPath.value; }} aria-pressed={store.showPath.value}>Critical path</button>
      </p>

      {wait && <Section title="What it waits for"><p data-testid="waits">
        {wait.what}{wait.of > 1 && <span class="muted"> ({count(wait.of, 'does', 'do')})</span>}
        <span class="muted">, seen at {duration(wait.at)}{wait.for > 0 && `, for ${duration(wait.for)} at least`}</span>
      </p></Section>}
      {chain.length > 0 && <Section title={m.stop[i] < 0 ? 'Its end' : 'Why it ended'}><ol class={`chain ${chain.flat().some((s) => s.quote) ? 'failed' : ''}`} data-testid="chain">
        {shortened(chain).map((steps) => <li>{steps.map((step) => <Part store={store} step={step} self={i} />)}</li>)}
      </ol></Section>}
      {ended !== undefined && <Section title="What it ended"><p data-testid="ended"><Ended store={store} scope={ended} />{canceled.length > 0 && `; ${both(m, canceled)} ${verb}`}</p></Section>}
      {m.err[i] && <Section title={isScope ? 'Outcome' : 'Error'}><pre class="error" tabIndex={0}>{m.err[i]}</pre></Section>}

      <Section title="Times"><table><tbody>
        <Fact name="lasted">{duration(m.end[i] - m.begin[i])}{m.stop[i] < 0 && (m.processes[m.process[i]]?.died ? ' when its process ended' : ' when the log stopped')}</Fact>
        <Time name={isScope ? 'opened' : 'spawned'} at={m.begin[i]} note={clock(m, m.begin[i])} />
        <Time name={isScope ? 'finalized' : 'started'} at={m.start[i]} since={isScope ? undefined : m.begin[i]} />
        <Time name="ready" at={m.ready.get(i)} />
        <Time name="canceled" at={cause?.at} note={cause?.kind} />
        <Time name="given up" at={m.stuck.get(i)} />
        {abandoned.slice(0, 5).map((at) => <Time name="left a blocking call" at={at} />)}
        {abandoned.length > 5 && <Fact name=""><span class="muted">and {count(abandoned.length - 5, 'more', 'more')}</span></Fact>}
        <Time name={m.tone[i] === Tone.Lost ? 'found ended' : isScope ? 'closed' : 'ended'} at={m.stop[i]} since={cause?.at} />
        <Time name="deadline" at={m.deadline.get(i)} />
      </tbody></table></Section>

      <Section title="Place"><table><tbody>
        <Fact name="path"><span title={elidePath(pathNames(m, i), 4000)}>{elidePath(pathNames(m, i), 320)}</span></Fact>
        <Fact name="in">{m.parent[i] === none ? 'nothing: it is a root' : <Link store={store} to={scopeAbove(m, i)} />}</Fact>
        {m.processes.length > 1 && <Fact name="process">{processOf(m, i)}</Fact>}
        {isScope && m.parent[i] !== none && !m.isScope[m.parent[i]] && <Fact name={beginsProcess(m, i) ? 'started by' : 'opened by'}><Link store={store} to={m.parent[i]} /></Fact>}
        {m.site.has(i) && <Fact name={isScope ? 'opened at' : 'spawned at'}>{m.site.get(i)}</Fact>}
        <Fact name="id">{keyOf(m, i)}</Fact>
        {!isScope && <Fact name="flags">{flagsOf(m.flags[i])}</Fact>}
        <Below store={store} of={i} />
      </tbody></table></Section>

      {canceled.length > 0 && <Section title={`${both(m, canceled)} ${canceled.length === 1 ? 'was' : 'were'} ${verb} because of it`}><ul class="list">
        {canceled.slice(0, 20).map((v) => <li><Link store={store} to={v} /></li>)}
        {canceled.length > 20 && <li class="muted">and {count(canceled.length - 20, 'more', 'more')}</li>}
      </ul></Section>}
      {store.path.value.length > 0 && <Path store={store} />}
      {m.stack.has(i) && <Section title="Stack"><pre class="stack" tabIndex={0}>{m.stack.get(i)}</pre></Section>}
    </div></aside>
  );
}

/** A scope that a task ended, and those around it that failed because of it. */
function Ended({ store, scope }: { store: Store; scope: Span }) {
  const { failedWith } = store.model;
  let top = scope, around = 0;
  for (let up = failedWith.get(top); up !== undefined; up = failedWith.get(top)) { top = up; around++; }
  return <>
    <Link store={store} to={scope} />
    {around > 1 && ` and the ${count(around, 'scope')} around it, up to `}{around === 1 && ' and '}
    {around > 0 && <Link store={store} to={top} />}
  </>;
}

/** Leaves out the middle of a very long chain. The first cause is the last step. */
function shortened(chain: Step[][]): Step[][] {
  const most = 12;
  if (chain.length <= most) return chain;
  const left = chain.length - most;
  return [...chain.slice(0, most - 5), [{ text: `… and ${count(left, 'more step', 'more steps')} …` }], ...chain.slice(-5)];
}

function Close({ store }: { store: Store }) {
  const close = () => {
    store.select(none);
    document.querySelector<HTMLElement>('.sheet')!.focus();
  };
  return <button class="icon close" aria-label="Close" title="Close (Esc)" onClick={close}>×</button>;
}

/** The panel of a group: its numbers, and the members to look at first. */
function OfGroup({ store, node }: { store: Store; node: Node }) {
  const { folds, model: m } = store;
  const { id, name, parent, isScope } = folds.groups[groupIn(node)];
  const { count: all, median, p99, areSoFar, longest, isLongestSoFar, states } = folds.numbersOf(id);
  return (
    <aside class="details" aria-label="Details" data-testid="details"><div class="columns">
      <Close store={store} />
      <h2>{short(name, 300)} × {thousands(all)}</h2>
      <p class="kind">{count(all, isScope ? 'scope' : 'task')} of one name{parent === none ? '' : <> in <Link store={store} to={parent} /></>}</p>
      <p class="buttons">
        <button onClick={() => store.toggle(node)}>{store.isNodeOpen(node) ? 'Close' : 'Open'}</button>
        <button onClick={() => store.fitTo(node)}>Zoom to it</button>
        <button onClick={() => store.find({ alike: folds.keyOf(folds.groups[id].members[0]) }, true)}>Only these</button>
      </p>
      <Section title="States"><table><tbody>
        {toneNames.map((tone, k) => states[k] > 0 && <Fact name={tone}>{thousands(states[k])}<span class="muted"> {percent(states[k] / all)}</span></Fact>)}
      </tbody></table></Section>
      <Section title="Times alive"><table><tbody>
        <Fact name="median">{lasted(median, areSoFar)}</Fact>
        <Fact name="p99">{lasted(p99, areSoFar)}</Fact>
        <Fact name="at most">{lasted(longest, isLongestSoFar)}</Fact>
      </tbody></table></Section>
      <Section title="To look at first"><ul class="list">
        {folds.outliersOf(id).map((i) => <li><i class={`swatch ${isScope ? '' : 'dot'} ${toneNames[m.tone[i]]}`} /><Link store={store} to={i} /> <span class="muted">{duration(m.end[i] - m.begin[i])} {short(failureOf(m, i).message, 120)}</span></li>)}
      </ul></Section>
    </div></aside>
  );
}

function both(m: Model, spans: Span[]): string {
  const scopes = spans.filter((i) => m.isScope[i]).length, tasks = spans.length - scopes;
  return [tasks > 0 && count(tasks, 'task'), scopes > 0 && count(scopes, 'scope')].filter(Boolean).join(' and ');
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return <section><h3>{title}</h3>{children}</section>;
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return <tr><th scope="row">{name}</th><td>{children}</td></tr>;
}

function Time({ name, at, since, note }: { name: string; at?: number; since?: number; note?: string }) {
  if (at === undefined || at < 0) return null;
  return <Fact name={name}>{duration(at)}{since !== undefined && at > since && <span class="muted"> (+{duration(at - since)})</span>}{note && <span class="muted"> {note}</span>}</Fact>;
}

/** Returns the time of day, if the recording says when it began. */
function clock(m: Model, at: number): string | undefined {
  const started = Date.parse(m.facts.started);
  return started > 0 ? `${new Date(started + at / 1e6).toISOString().slice(11, 23)} UTC` : undefined;
}

function Link({ store, to }: { store: Store; to: Span }) {
  return <button class="link" onClick={() => store.select(to)}>{short(store.model.names[to], 80)}</button>;
}

function Part({ store, step, self }: { store: Store; step: Step; self: Span }) {
  const text = step.span === undefined ? step.text : elide(sayOnce(step.text), 80);
  return <>
    {step.span !== undefined && step.span !== self ? <button class="link" onClick={() => store.select(step.span!)}>{text}</button> : <span>{text}</span>}
    {step.quote && <span>: <q>{short(step.span !== undefined && store.model.err[step.span] === step.quote ? failureOf(store.model, step.span).message : innermost(step.quote), 300)}</q></span>}
  </>;
}

/** Returns the process of a span, and how much of it the log tells. */
function processOf(m: Model, i: Span): string {
  const p = m.processes[m.process[i]];
  const end = p.closed ? '' : p.died ? `, crashed or was killed; its log ends at ${duration(p.end)}` : `, whose log stops at ${duration(p.end)} without its last line`;
  return `${p.pid}${p.program && `, ${short(p.program, 120)}`}${end}`;
}

function flagsOf(flags: number): string {
  const names = [
    flags & Flag.Bubble ? 'a failure ends the scope' : 'a failure stays with it',
    flags & Flag.Master && 'master: its end is the end of the scope',
    flags & Flag.Awaited ? 'awaited' : 'nobody waits for it',
  ];
  return names.filter(Boolean).join('; ');
}

function Below({ store, of }: { store: Store; of: Span }) {
  const m = store.model;
  let tasks = 0;
  const tones = new Map<string, number>();
  for (let i = of + 1; i < m.after[of]; i++) {
    if (!m.isScope[i]) tasks++;
    if (m.tone[i] !== Tone.Ok) tones.set(toneNames[m.tone[i]], (tones.get(toneNames[m.tone[i]]) ?? 0) + 1);
  }
  const all = m.after[of] - of - 1;
  if (all === 0) return null;
  const notes = [...tones].map(([name, n]) => `${n} ${name}`).join(', ');
  return <Fact name="below">{count(tasks, 'task')}, {count(all - tasks, 'scope')}{notes && <span class="muted"> ({notes})</span>}</Fact>;
}

function Path({ store }: { store: Store }) {
  const { model, path, pathOwner } = store;
  const whole = Math.max(model.end[pathOwner.value] - model.begin[pathOwner.value], 1);
  const longest = shares(path.value);
  return (
    <Section title={`Critical path of ${short(model.names[pathOwner.value], 40)}`}>
      <ul class="list shares" data-testid="path">
        {longest.slice(0, 12).map(({ span, time }) => (
          <li><i class="share" style={{ width: `${(100 * time) / whole}%` }} /><Link store={store} to={span} /><span class="muted">{duration(time)}, {percent(time / whole)}</span></li>
        ))}
        {longest.length > 12 && <li class="muted">and {count(longest.length - 12, 'more', 'more')}</li>}
      </ul>
    </Section>
  );
}
