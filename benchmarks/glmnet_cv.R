# Times cv.glmnet. Arguments: a folder with the data, and alpha, the share of the L1 penalty. Reads
# the folds from fold.bin and the penalties from lambda.bin, writes mean log losses to score.bin, and
# prints the seconds.
suppressMessages(library(glmnet))
arguments <- commandArgs(TRUE)
folder <- arguments[1]
shape <- scan(file.path(folder, "shape.txt"), quiet = TRUE)
read <- function(name, what, n) readBin(file.path(folder, name), what, n, size = ifelse(what == "integer", 4, 8))
y <- factor(read("y.bin", "integer", shape[1]))
x <- matrix(read("x.bin", "double", prod(shape)), shape[1])
lambda <- read("lambda.bin", "double", 1000)
glmnet.control(fdev = 0, devmax = 1)
run <- function() cv.glmnet(
  x, y, family = if (nlevels(y) == 2) "binomial" else "multinomial", alpha = as.numeric(arguments[2]),
  foldid = read("fold.bin", "integer", shape[1]), lambda = lambda, standardize = FALSE, maxit = 1e7
)
if (prod(shape) < 1e5) invisible(run())  # the first call loads code
seconds <- system.time(fit <- run())["elapsed"]
writeBin(fit$cvm / 2, file.path(folder, "score.bin"))
cat(seconds, "\n")
