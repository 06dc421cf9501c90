// Draws many small rectangles: it sets their pixels, and draws all of them as one image. A
// canvas takes microseconds for each rectangle, and a frame can have tens of thousands.
export class Raster {
  private readonly canvas = document.createElement('canvas');
  private readonly colors = new Map<string, number>();
  private image: ImageData | undefined;
  private pixels = new Uint32Array(0);
  private ratio = 1;

  begin(width: number, height: number, ratio: number): void {
    const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
    this.ratio = ratio;
    if (this.canvas.width !== w || this.canvas.height !== h || !this.image) {
      [this.canvas.width, this.canvas.height] = [w, h];
      this.image = new ImageData(w, h);
      this.pixels = new Uint32Array(this.image.data.buffer);
    } else {
      this.pixels.fill(0);
    }
  }

  fill(left: number, top: number, width: number, height: number, color: number): void {
    const { ratio, canvas: { width: w, height: h }, pixels } = this;
    const x0 = Math.max(0, Math.round(left * ratio));
    const x1 = Math.min(w, Math.max(Math.round((left + width) * ratio), x0 + 1));
    const y0 = Math.max(0, Math.round(top * ratio));
    const y1 = Math.min(h, Math.max(Math.round((top + height) * ratio), y0 + 1));
    for (let y = y0; y < y1; y++) pixels.fill(color, y * w + x0, y * w + x1);
  }

  end(c: CanvasRenderingContext2D): void {
    this.canvas.getContext('2d')!.putImageData(this.image!, 0, 0);
    c.drawImage(this.canvas, 0, 0, this.canvas.width / this.ratio, this.canvas.height / this.ratio);
  }

  /** Returns the pixel for #rrggbb. */
  color(css: string): number {
    let color = this.colors.get(css);
    if (color === undefined) {
      const n = parseInt(css.slice(1), 16);
      const bytes = new Uint8Array([n >> 16, (n >> 8) & 255, n & 255, 255]);
      this.colors.set(css, color = new Uint32Array(bytes.buffer)[0]);
    }
    return color;
  }
}
