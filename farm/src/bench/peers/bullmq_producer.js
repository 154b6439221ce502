// Stores noop jobs in chunks of 1,000 as soon as it is told.
const { Queue } = require("bullmq");

const [url, count] = process.argv.slice(2);
const { hostname, port, password } = new URL(url);
const connection = { host: hostname, port: Number(port), password: decodeURIComponent(password), db: 1 };
const queue = new Queue("noop", { connection });

async function produce() {
  const job = { name: "noop", data: {}, opts: { removeOnComplete: true } };
  for (let left = Number(count); left > 0; left -= 1000) {
    await queue.addBulk(Array(Math.min(left, 1000)).fill(job));
  }
}

queue.waitUntilReady().then(() => {
  console.log("ready");
  process.stdin.once("data", () => produce().catch((error) => {
    console.error(`bullmq producer: ${error.message}`);
    process.exit(1);
  }));
});
