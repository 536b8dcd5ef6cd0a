"""The methods `to_latex`, `to_markdown` and `to_html` of results and of comparisons of models."""

from __future__ import annotations

from skmaxent._inference._table_formats import PublishedTable


class Publishable:
    """Exports a table of coefficients to LaTeX, Markdown and HTML.

    Subclasses define `_published`, which makes the table.
    """

    def to_latex(
        self,
        *,
        exponentiate: bool = False,
        conf_level: float | None = None,
        stars: bool = False,
        decimals: int = 3,
    ) -> str:
        """The table of coefficients as a tabular environment of LaTeX, which needs no package.

        Outcomes are columns. Below them are the number of observations, the log-likelihood, AIC and
        BIC where they exist, and pseudo R². Sentences that say what the numbers are follow the
        tabular environment. Names with letters that pdfLaTeX has no font for, such as Greek ones,
        need LuaLaTeX or XeLaTeX.

        Parameters
        ----------
        exponentiate : bool, default=False
            Whether the numbers are odds ratios or relative risk ratios, as in `summary`.
        conf_level : float, default=None
            Confidence level of intervals in brackets, which take the place of standard errors in
            parentheses. None shows standard errors.
        stars : bool, default=False
            Whether stars mark p-values below 0.05, 0.01 and 0.001.
        decimals : int, default=3
            Number of decimals of estimates, standard errors and intervals.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            For stars where there are no p-values, and for arguments out of range.
        """
        return self._published(exponentiate, conf_level, stars, decimals).to_latex()

    def to_markdown(
        self,
        *,
        exponentiate: bool = False,
        conf_level: float | None = None,
        stars: bool = False,
        decimals: int = 3,
    ) -> str:
        """The table of coefficients in Markdown, as GitHub and pandoc read it.

        Parameters
        ----------
        exponentiate, conf_level, stars, decimals : object
            As in `to_latex`.

        Returns
        -------
        str
        """
        return self._published(exponentiate, conf_level, stars, decimals).to_markdown()

    def to_html(
        self,
        *,
        exponentiate: bool = False,
        conf_level: float | None = None,
        stars: bool = False,
        decimals: int = 3,
    ) -> str:
        """The table of coefficients as a table element of HTML.

        Parameters
        ----------
        exponentiate, conf_level, stars, decimals : object
            As in `to_latex`.

        Returns
        -------
        str
        """
        return self._published(exponentiate, conf_level, stars, decimals).to_html()

    def _published(
        self, exponentiate: bool, conf_level: float | None, stars: bool, decimals: int
    ) -> PublishedTable:
        """Return the table before it is formatted; the arguments are those of `to_latex`."""
        raise NotImplementedError
