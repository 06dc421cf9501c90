// The story of the recording. It is told in Go (package record/story).
import type { Line, Model } from './model.ts';

export type { Line, Word } from './model.ts';

export const storyOf = (m: Model): Line[] => m.story;

export const textOf = (line: Line): string => line.words.map((w) => w.text).join('');
