"""The words of a report, in English and Russian."""

from __future__ import annotations

from tasks.reports.parameters import Language

_WORDS: dict[str, tuple[str, str]] = {
    # titles
    "sales": ("Sales report", "Отчёт о продажах"),
    "analytics": ("Analytics report", "Аналитический отчёт"),
    "financial": ("Financial report", "Финансовый отчёт"),
    "custom": ("Report", "Отчёт"),
    # page furniture
    "page": ("Page {page} of {pages}", "Страница {page} из {pages}"),
    "generated": ("Made {when}", "Составлен {when}"),
    "for": ("for {who}", "для {who}"),
    "key_figures": ("Key figures", "Основные показатели"),
    "notes": ("Notes", "Примечания"),
    "summary": ("Summary", "Сводка"),
    "period": ("Period", "Период"),
    "since_before": ("vs previous", "к прошлому"),
    "other": ("Other ({count})", "Прочие ({count})"),
    "not_given": ("(not given)", "(не указано)"),
    "whole_file": ("All rows of the file", "Все строки файла"),
    # notes
    "empty_title": ("Nothing in this period", "За этот период данных нет"),
    "empty_file": (
        "The file has data from {first} to {last}.",
        "В файле есть данные с {first} по {last}.",
    ),
    "empty_rows": ("No row of the file matches.", "Нет ни одной подходящей строки."),
    "left_out": (
        "Rows left out because a required value is missing: {count}. Data rows: {rows}.",
        "Строк не учтено из-за отсутствия обязательных значений: {count}. Строки данных: {rows}.",
    ),
    "unshown": (
        "Characters that no font of the PDF has, shown as {mark}: {count}. The workbook has them.",
        "Символов, которых нет в шрифтах PDF, показанных как {mark}: {count}. В книге они есть.",
    ),
    "uncomputed": (
        "Cells without a value because their formula was never computed: {count}.",
        "Ячеек без значения, так как их формулы не вычислены: {count}.",
    ),
    "cut_steps": (
        "The period begins or ends inside a {step}: the first or last one is not complete.",
        "Период начинается или кончается внутри шага «{step}»: крайний шаг неполный.",
    ),
    "previous": (
        "Growth compares with {first} to {last}, as far as the file has it.",
        "Рост посчитан к периоду с {first} по {last}, насколько он есть в файле.",
    ),
    "truncated": (
        "Shown: the first {shown} of {count}.",
        "Показаны первые {shown} из {count}.",
    ),
    "kind_from_sign": (
        "The file has no column of kinds: amounts above zero are revenue, below zero expenses.",
        "В файле нет столбца с типом: суммы больше нуля считаются доходом, меньше нуля — расходом.",
    ),
    "funnel_guessed": (
        "No funnel was given: its steps are the most common events, by how many users did them.",
        "Воронка не задана: шаги — самые частые события по числу пользователей.",
    ),
    "funnel_order": (
        "A step counts the users who took it after all steps before.",
        "Пользователь учтён на шаге, если совершил его после всех предыдущих.",
    ),
    "retention_note": (
        "Share of each cohort that was active again so many steps after its first event.",
        "Доля когорты, снова проявившая активность через столько шагов после первого события.",
    ),
    "day": ("day", "день"),
    "week": ("week", "неделя"),
    "month": ("month", "месяц"),
    "quarter": ("quarter", "квартал"),
    "year": ("year", "год"),
    # sales
    "revenue": ("Revenue", "Выручка"),
    "gross": ("Sales before refunds", "Продажи до возвратов"),
    "refunds": ("Refunds", "Возвраты"),
    "orders": ("Orders", "Заказы"),
    "units": ("Units", "Единиц"),
    "average_order": ("Average order", "Средний чек"),
    "growth": ("Growth", "Рост"),
    "share": ("Share", "Доля"),
    "product": ("Product", "Товар"),
    "region": ("Region", "Регион"),
    "by_period": ("By period", "По периодам"),
    "by_product": ("By product", "По товарам"),
    "by_region": ("By region", "По регионам"),
    "top_products": ("Top products", "Лучшие товары"),
    "top_regions": ("Top regions", "Лучшие регионы"),
    # analytics
    "active_users": ("Active users", "Активные пользователи"),
    "new_users": ("New users", "Новые пользователи"),
    "events": ("Events", "События"),
    "users": ("Users", "Пользователи"),
    "paying_users": ("Paying users", "Платящие пользователи"),
    "revenue_per_user": ("Revenue per user", "Выручка на пользователя"),
    "revenue_per_paying_user": ("Revenue per paying user", "Выручка на платящего"),
    "conversion": ("Funnel conversion", "Конверсия воронки"),
    "funnel": ("Funnel", "Воронка"),
    "event": ("Step", "Шаг"),
    "from_first": ("Of the first", "От первого"),
    "from_previous": ("Of the step before", "От предыдущего"),
    "retention": ("Retention by cohort", "Удержание по когортам"),
    "cohort": ("Cohort", "Когорта"),
    # financial
    "expenses": ("Expenses", "Расходы"),
    "income": ("Revenue", "Доходы"),
    "profit": ("Profit", "Прибыль"),
    "margin": ("Margin", "Рентабельность"),
    "category": ("Category", "Категория"),
    "by_category": ("By category", "По категориям"),
    # custom
    "data": ("Figures", "Показатели"),
    "sum": ("Sum of {column}", "Сумма: {column}"),
    "avg": ("Average {column}", "Среднее: {column}"),
    "count": ("Count of {column}", "Количество: {column}"),
    "min": ("Smallest {column}", "Минимум: {column}"),
    "max": ("Largest {column}", "Максимум: {column}"),
    "median": ("Median {column}", "Медиана: {column}"),
    "distinct": ("Different {column}", "Различных: {column}"),
    "count_rows": ("Rows", "Строк"),
}


class Labels:
    """``labels("truncated", shown=500, count=900)`` in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._index = {Language.ENGLISH: 0, Language.RUSSIAN: 1}[language]

    def __call__(self, key: str, **values: object) -> str:
        words = _WORDS[key][self._index]
        # A caller's text is inserted after the template is parsed, so its braces have no meaning.
        return words.format(**values) if values else words
