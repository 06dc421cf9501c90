// Printing: the page is scaled so that what is on the screen fits on one sheet of paper.

const paper = { width: 1040, height: 690 }; // CSS pixels of A4 and letter in landscape, without margins

export function followPrinting(): void {
  const fit = () => {
    const { style } = document.documentElement;
    style.setProperty('--print-width', `${innerWidth}px`);
    style.setProperty('--print-height', `${innerHeight}px`);
    style.setProperty('--print-zoom', String(Math.min(paper.width / innerWidth, paper.height / innerHeight)));
  };
  // Before printing and not at it: then the window has the size of the paper.
  fit();
  addEventListener('resize', () => { if (!matchMedia('print').matches) fit(); });
}
