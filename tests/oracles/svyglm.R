# Logits of survey data: survey::svyglm for two classes, and for three survey::svytotal of the
# influences of nnet::multinom (what svyVGAM does for VGAM), on data(api).
# Usage: Rscript svyglm.R > svyglm.json, in this folder.
suppressMessages({library(survey); library(nnet); library(jsonlite)})
data(api)
x <- c("ell", "meals", "mobility")
three_of <- function(d) factor(ifelse(d$meals < 30, "low", ifelse(d$meals < 60, "mid", "high")))
two <- sch.wide ~ ell + meals + mobility
numbers <- function(d) as.list(d[, c(x, "api00")])
design_of <- function(d, strata = NULL, psu = NULL, fpc = NULL) list(
  data = numbers(d), sch_wide = as.integer(d$sch.wide == "Yes"), three = as.character(three_of(d)),
  weights = d$pw, strata = strata, psu = psu, fpc = fpc, stype = as.character(d$stype))
of <- function(des, ...) {
  fit <- svyglm(two, des, family = quasibinomial(), control = list(epsilon = 1e-14, maxit = 100), ...)
  s <- summary(fit)
  r <- regTermTest(fit, ~ ell + meals, method = "Wald")
  r4 <- regTermTest(fit, ~ ell + meals, method = "Wald", df = degf(fit$survey.design))
  ci <- confint(fit, ddf = degf(fit$survey.design))
  list(coef = unname(coef(fit)), vcov = unname(vcov(fit)), degf = degf(fit$survey.design),
       df_residual = fit$df.residual, p_value = unname(s$coefficients[, 4]), ci = unname(ci),
       wald_F = c(r4$Ftest), wald_p = c(r4$p))
}
# What a design says of the sum of influences of a multinomial logit.
multi <- function(des, d) {
  d$y <- three_of(d); d$w <- weights(des)
  fit <- multinom(y ~ ell + mobility, d, weights = w, trace = FALSE, reltol = 1e-16, maxit = 2000, Hess = TRUE)
  X <- model.matrix(fit); P <- fitted(fit)
  U <- do.call(cbind, lapply(2:ncol(P), function(k) ((d$y == colnames(P)[k]) - P[, k]) * X))
  infl <- U %*% vcov(fit)
  list(coef = unname(c(t(coef(fit)))), classes = colnames(P), vcov = unname(matrix(vcov(svytotal(infl, des)), ncol(U))))
}
options(survey.lonely.psu = "fail")
strat <- svydesign(id = ~1, strata = ~stype, weights = ~pw, data = apistrat, fpc = ~fpc)
clus1 <- svydesign(id = ~dnum, weights = ~pw, data = apiclus1, fpc = ~fpc)
clus1w <- svydesign(id = ~dnum, weights = ~pw, data = apiclus1)
out <- list(version = c(R.version.string, paste("survey", packageVersion("survey")), paste("nnet", packageVersion("nnet"))))
out$data <- list(strat = design_of(apistrat, as.character(apistrat$stype), NULL, apistrat$fpc),
                 clus1 = design_of(apiclus1, NULL, apiclus1$dnum, apiclus1$fpc))
out$strat <- of(strat); out$clus1 <- of(clus1); out$clus1_without_fpc <- of(clus1w)
alone <- svydesign(id = ~1, weights = ~pw, data = apistrat)
out$weights_alone_multinom <- multi(alone, apistrat)
out$strat_multinom <- multi(strat, apistrat); out$clus1_multinom <- multi(clus1, apiclus1)
# Subpopulations.
out$clus1_domain <- of(subset(clus1, stype == "E"))
out$strat_domain <- of(subset(strat, api00 > 600))
# Strata of one unit: the districts of apistrat as strata of its schools.
d <- apistrat; d$st <- ifelse(seq_len(nrow(d)) <= 3, paste0("only", seq_len(nrow(d))), as.character(d$stype))
out$lonely_strata <- d$st
lon <- svydesign(id = ~1, strata = ~st, weights = ~pw, data = d)
for (how in c("remove", "adjust", "average")) {
  options(survey.lonely.psu = how); out[[paste0("lonely_", how)]] <- of(lon)
}
# A subpopulation without rows in one stratum of several schools.
options(survey.lonely.psu = "average"); out$lonely_average_domain <- of(subset(lon, st != "H"))
options(survey.lonely.psu = "fail")
# Replicates.
out$jk1 <- of(as.svrepdesign(clus1w, type = "JK1")); out$jk1_fpc <- of(as.svrepdesign(clus1, type = "JK1"))
out$jkn <- of(as.svrepdesign(svydesign(id = ~1, strata = ~stype, weights = ~pw, data = apistrat), type = "JKn"))
out$jk1_domain <- of(subset(as.svrepdesign(clus1w, type = "JK1"), stype == "E"))
out$jk1_mse <- of(as.svrepdesign(clus1w, type = "JK1", mse = TRUE))
# Pairs of units within strata, which balanced half samples need.
pairs <- apistrat; n <- nrow(pairs)
pairs$st <- (seq_len(n) - 1) %% 10; pairs$un <- ((seq_len(n) - 1) %/% 10) %% 2
pd <- svydesign(id = ~un, strata = ~st, weights = ~pw, data = pairs, nest = TRUE)
out$pairs <- list(strata = pairs$st, psu = pairs$un)
brr <- as.svrepdesign(pd, type = "BRR"); fay <- as.svrepdesign(pd, type = "Fay", fay.rho = 0.3)
set.seed(1); boot <- as.svrepdesign(pd, type = "subbootstrap", replicates = 20)
out$pairs_linear <- of(pd); out$pairs_linear_multinom <- multi(pd, pairs)
out$brr <- c(of(brr), list(repweights = unname(weights(brr, "analysis")), scale = brr$scale))
out$fay <- c(of(fay), list(repweights = unname(weights(fay, "analysis")), scale = fay$scale))
out$bootstrap <- c(of(boot), list(repweights = unname(weights(boot, "analysis")), scale = boot$scale))
cat(toJSON(out, digits = 15, auto_unbox = TRUE, null = "null"), "\n")
