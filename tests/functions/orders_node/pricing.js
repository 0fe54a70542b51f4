export const totalCents = (lines) => ({
  total_cents: lines.reduce((sum, { quantity, cents }) => sum + quantity * cents, 0),
});
