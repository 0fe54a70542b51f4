import "./absent.mjs";

export default ({ res }) => res.empty();
