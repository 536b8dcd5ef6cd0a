# Tests of terms, of linear hypotheses, of combining outcomes and of independence of irrelevant
# alternatives, on beps.csv. Run in this folder: Rscript tests_beps.R > tests_beps.json
suppressMessages({library(nnet); library(car); library(jsonlite)})

beps <- read.csv("beps.csv", stringsAsFactors = TRUE)
beps$knowledge <- factor(c("little", "little", "some", "much")[beps$political.knowledge + 1])
fit <- function(formula, data) {
  eval(substitute(multinom(f, d, maxit = 5000, reltol = 1e-16, abstol = 0, trace = FALSE,
                           Hess = TRUE), list(f = formula, d = data)))
}
# Rows, whose names are those of factors, of car's Anova.
rows <- function(table) {
  data.frame(term = rownames(table), chi2 = table[[1]], df = table[["Df"]],
             log_p = pchisq(table[[1]], table[["Df"]], lower.tail = FALSE, log.p = TRUE))
}

# A factor of three levels, and an interaction of factors.
factors <- vote ~ age + Europe + gender * knowledge
two <- fit(factors, beps)

# Wald tests of terms from a model's coefficients and covariance. Those of type II are of the part
# of the term and its relatives that is conjugate to the relatives (as in car's ConjComp).
wald <- function(model) {
  terms <- attr(terms(model), "factors")
  assign <- attr(model.matrix(model), "assign")
  b <- as.vector(t(coef(model))); V <- vcov(model)
  p <- ncol(coef(model)); r <- nrow(coef(model))
  restrictions <- function(which) {
    diag(p * r)[as.vector(outer(which(assign %in% which), p * (0:(r - 1)), "+")), , drop = FALSE]
  }
  chi2 <- function(L) as.numeric(t(L %*% b) %*% solve(L %*% V %*% t(L), L %*% b))
  one <- function(i) {
    used <- terms[-1, i] > 0
    above <- which(apply(terms[-1, , drop = FALSE] > 0, 2, function(o) all(o[used]) && sum(o) > sum(used)))
    L <- restrictions(i)
    type3 <- chi2(L)
    if (length(above)) {
      H <- restrictions(above)
      # Combinations of the term and its relatives that are uncorrelated with the relatives.
      L <- L - L %*% V %*% t(H) %*% solve(H %*% V %*% t(H), H)
    }
    list(term = colnames(terms)[i], type2 = chi2(L), type3 = type3, df = nrow(L))
  }
  do.call(rbind, lapply(seq_len(ncol(terms)), function(i) as.data.frame(one(i))))
}

full <- vote ~ age + gender + economic.cond.national + economic.cond.household + Blair + Hague +
  Kennedy + Europe * political.knowledge
whole <- fit(full, beps)

# Joint hypotheses of car's linearHypothesis.
joint <- linearHypothesis(whole, c("Labour:Europe = Liberal Democrat:Europe",
                                   "Labour:Blair - 2*Liberal Democrat:Blair = 0.5"))
one <- deltaMethod(whole, "2*`Labour:Blair` - `Liberal Democrat:Blair` - 0.5",
                   parameterNames = colnames(vcov(whole)))

# Combining two outcomes: all slopes of one equal those of the other.
combine <- function(pair) {
  model <- fit(full, transform(beps, vote = relevel(vote, pair[2])))
  at <- grep(paste0("^", pair[1], ":"), colnames(vcov(model)))[-1]
  b <- as.vector(t(coef(model)))[at]
  merged <- transform(beps, vote = factor(ifelse(vote %in% pair, "both", as.character(vote))))
  n <- table(beps$vote)[pair]
  # With equal slopes the two outcomes have constant shares of their sum.
  smaller <- logLik(fit(full, merged)) + sum(n * log(n / sum(n)))
  data.frame(first = pair[1], second = pair[2], df = length(at),
             wald = as.numeric(b %*% solve(vcov(model)[at, at], b)),
             lr = 2 * as.numeric(logLik(whole) - smaller))
}
levels <- levels(beps$vote)

# Independence of irrelevant alternatives.
short <- vote ~ age + gender + Europe + Blair
named <- function(model, data) {
  V <- vcov(model)
  if (nlevels(data$vote) == 2) rownames(V) <- colnames(V) <- paste0(levels(data$vote)[2], ":", rownames(V))
  b <- coef(model)
  list(b = setNames(if (is.matrix(b)) as.vector(t(b)) else b, colnames(V)), V = V)
}
without <- function(data, outcome) droplevels(data[data$vote != outcome, ])
hausman <- function(outcome) {
  few <- without(beps, outcome)
  all <- transform(beps, vote = relevel(vote, levels(few$vote)[1]))
  small <- named(fit(short, few), few); large <- named(fit(short, all), all)
  at <- names(small$b)
  q <- small$b - large$b[at]; V <- small$V - large$V[at, at]
  data.frame(omitted = outcome, chi2 = as.numeric(q %*% solve(V, q)), df = length(q),
             least = min(eigen(V, symmetric = TRUE)$values))
}
# The first half is that of sklearn's check_random_state(0).permutation(1525)[:762].
half <- as.logical(scan("tests_beps_half.txt", quiet = TRUE))
small_hsiao <- function(outcome) {
  beps <- transform(beps, vote = relevel(vote, setdiff(levels, outcome)[1]))
  A <- named(fit(short, beps[half, ]), beps); B <- named(fit(short, beps[!half, ]), beps)
  theta <- A$b / sqrt(2) + (1 - 1 / sqrt(2)) * B$b
  few <- without(beps[!half, ], outcome)
  model <- fit(short, few); at <- names(named(model, few)$b)
  logits <- cbind(0, model.matrix(short, few) %*% matrix(theta[at], ncol = nlevels(few$vote) - 1))
  value <- sum(logits[cbind(seq_len(nrow(few)), as.integer(few$vote))] - log(rowSums(exp(logits))))
  data.frame(omitted = outcome, chi2 = 2 * (as.numeric(logLik(model)) - value), df = length(at))
}

cat(toJSON(list(
  R = R.version.string, nnet = as.character(packageVersion("nnet")),
  car = as.character(packageVersion("car")),
  factors = list(anova2 = rows(Anova(two, type = 2)), anova3 = rows(Anova(two, type = 3)),
                 wald = wald(two)),
  beps = list(wald = wald(whole), joint = list(chi2 = joint$Chisq[2], df = joint$Df[2]),
              one = list(estimate = one$Estimate, std_err = one$SE),
              combine = do.call(rbind, combn(levels, 2, combine, simplify = FALSE))),
  hausman = do.call(rbind, lapply(levels, hausman)),
  small_hsiao = do.call(rbind, lapply(levels, small_hsiao))
), digits = 17, auto_unbox = TRUE, pretty = TRUE))
