export const other = ({ res }: any) => res.empty();
