import "notthereatall";

export default ({ res }: any) => res.empty();
