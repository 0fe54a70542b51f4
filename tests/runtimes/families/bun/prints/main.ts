console.log("loaded");
let calls = 0;

export default ({ res }: any) => {
  calls += 1;
  return res.text(String(calls));
};
