import "./sibling.ts";

export default ({ res }: any) => res.empty();
