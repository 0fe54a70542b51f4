console.log("loaded");
let calls = 0;

module.exports = ({ res }) => {
  calls += 1;
  return res.text(String(calls));
};
