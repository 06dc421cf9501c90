import { useEffect, useRef } from 'preact/hooks';
import type { Store } from './store.ts';

const keys: [string, string][] = [
  ['wheel, ↑ ↓, Home, End', 'scroll, and move in the rows'], ['← →, space', 'close and open a row'],
  ['Ctrl wheel, pinch, w s, + −', 'zoom in time'], ['Shift wheel, drag, a d', 'move in time'],
  ['double click, Enter', 'zoom to a row'], ['f', 'fit all'], ['u, Back', 'undo the last zoom or selection'],
  ['/', 'search: a name, a path like service/conn, an error'], ['n p', 'next and previous match'], ['b', 'table by name'],
  ['c', 'critical path of the selected scope'], ['t', 'light or dark'], ['Esc', 'clear: search, selection'], ['?', 'this'],
];

export function Help({ store }: { store: Store }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current!.showModal(), []);
  const close = () => { store.help.value = false; };
  return (
    <dialog class="help" ref={dialog} onClose={close} onClick={(e) => { if (e.target === e.currentTarget) close(); }} aria-label="Help">
      <h2>How to read this</h2>
      <p>Each row is a scope or a task; time goes to the right. A <b>box</b> is a scope, with the <b>bars</b> of its tasks in it. A scope that a task opened is below the task. Alike siblings are one row, <b>conn × 187</b>: its bar shows how many were alive, and in which states they ended; open it to see those that stand out. When a scope ends, what is left of its box is <b>hatched</b>: everything in it is told to stop. A <b>red arrow</b> leads from the task that failed to the scope it ended, <b>amber</b> ones from there to what was canceled because of it.</p>
      <table><tbody>{keys.map(([key, text]) => <tr><th scope="row"><kbd>{key}</kbd></th><td>{text}</td></tr>)}</tbody></table>
      <form method="dialog"><button autofocus>Close</button></form>
    </dialog>
  );
}
