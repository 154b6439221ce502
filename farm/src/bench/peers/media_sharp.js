// sharp (libvips), one thread: both thumbnails of a picture, as its users write it.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const sharp = require('sharp');

sharp.concurrency(1);
sharp.cache(false);

const SIZES = [256, 512];

function thumbnail(bytes, size) {
  return sharp(bytes).rotate().resize(size, size, { fit: 'cover' }).webp({ quality: 80 });
}

// One decode per size: libvips then decodes no larger than that size needs.
function make(bytes) {
  return Promise.all(SIZES.map((size) => thumbnail(bytes, size).toBuffer()));
}

async function main() {
  const [what, file, more] = process.argv.slice(2);
  const bytes = fs.readFileSync(file);
  if (what === 'make') {
    const images = await make(bytes);
    SIZES.forEach((size, at) =>
      fs.writeFileSync(path.join(more, `sharp-${size}.webp`), images[at]));
    return;
  }
  for (let warm = 0; warm < 3; warm += 1) await make(bytes);
  const count = Number(more);
  const before = process.cpuUsage();
  for (let image = 0; image < count; image += 1) await make(bytes);
  const { user, system } = process.cpuUsage(before);
  console.log((user + system) / 1000 / count);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
