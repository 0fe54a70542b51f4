const line = "x".repeat(1000);

module.exports = async ({ res, log }) => {
  for (let number = 0; number < 10_000; number += 1)
    log(`${String(number).padStart(6, "0")} ${line}`);
  return res.text("flooded");
};
