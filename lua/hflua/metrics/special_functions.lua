--- log gamma, the regularized incomplete beta function and what follows: p-values of correlations.
local special = {}

--- log of the gamma function, x > 0: the recurrence up to 12, then Stirling's series. Error below 1e-14 relative.
function special.log_gamma(x)
  local shift = 0
  while x < 12 do
    shift = shift - math.log(x)
    x = x + 1
  end
  local inverse = 1 / (x * x)
  local series = 1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse / 1188)))
  return shift + (x - 0.5) * math.log(x) - x + 0.5 * math.log(2 * math.pi) + series / x
end

-- Keeps the divisors of Lentz's method away from 0.
local function away_from_zero(x) return math.abs(x) < 1e-300 and 1e-300 or x end

-- The continued fraction of the incomplete beta function, by Lentz's method.
local function beta_fraction(x, a, b)
  local c, d = 1, 1 / away_from_zero(1 - (a + b) * x / (a + 1))
  local value = d
  for m = 1, 10000 do
    local even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    local odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    local before = value
    for _, term in ipairs { even, odd } do
      d = 1 / away_from_zero(1 + term * d)
      c = away_from_zero(1 + term / c)
      value = value * d * c
    end
    if math.abs(value - before) <= 1e-16 * math.abs(value) then break end
  end
  return value
end

--- I_x(a, b), the regularized incomplete beta function.
function special.beta_share(x, a, b)
  if x <= 0 then return 0.0 end
  if x >= 1 then return 1.0 end
  local front = math.exp(special.log_gamma(a + b) - special.log_gamma(a) - special.log_gamma(b)
    + a * math.log(x) + b * math.log(1 - x))
  if x < (a + 1) / (a + b + 2) then return front * beta_fraction(x, a, b) / a end
  return 1 - front * beta_fraction(1 - x, b, a) / b
end

--- Two-sided p-value of a correlation r of n pairs that are in truth unrelated: Student's t with n - 2 degrees.
function special.correlation_p_value(r, n)
  if r ~= r or n < 2 then return 0 / 0 end
  if n == 2 then return 1.0 end
  return special.beta_share((1 - r) * (1 + r), (n - 2) / 2, 0.5)
end

return special
