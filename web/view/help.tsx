import { useEffect, useRef } from 'preact/hooks';
import type { Store } from './store.ts';

const keys: [string, string][] = [
  ['wheel, pinch, w s, + −', 'zoom'], ['Alt wheel', 'height of the rows'], ['drag, a d', 'move in time'], ['Shift wheel', 'scroll'],
  ['double click, Enter', 'fit what is there'], ['f, Home', 'fit all'],
  ['↑ ↓ ← →', 'move in the tree, fold and unfold'], ['/', 'search'], ['n p', 'next and previous match'],
  ['c', 'critical path of the selected scope'], ['t', 'light or dark'], ['Esc', 'clear: search, selection'], ['?', 'this'],
];

export function Help({ store }: { store: Store }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current!.showModal(), []);
  const close = () => { store.help.value = false; };
  return (
    <dialog class="help" ref={dialog} onClose={close} onClick={(e) => { if (e.target === e.currentTarget) close(); }} aria-label="Help">
      <h2>How to read this</h2>
      <p>A <b>box</b> is a scope, a <b>bar</b> in it a task; time goes to the right. A scope that a task opened hangs below the task. When a scope ends, what is left of its box is <b>hatched</b>: everything in it is told to stop. A <b>red arrow</b> leads from the task that failed to the scope it ended, <b>amber</b> ones from there to what was canceled because of it.</p>
      <table><tbody>{keys.map(([key, text]) => <tr><th scope="row"><kbd>{key}</kbd></th><td>{text}</td></tr>)}</tbody></table>
      <form method="dialog"><button autofocus>Close</button></form>
    </dialog>
  );
}
