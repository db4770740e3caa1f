"""Domains that customers ask about, as groups of public tasks. Knows no document and no model.

A task comes with Assay, or is lm-eval's and needs the Hugging Face hub. Nothing stands in for a domain: of manufacturing nothing comes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """The tasks of a domain by name: those that come with Assay, and lm-eval's."""

    comes: tuple[str, ...]
    hub: tuple[str, ...]


DOMAINS = {
    "health": Domain(
        ("clinical", "pubmed"),
        (
            "medqa_4options", "medmcqa", "pubmedqa", "careqa_en", "mmlu_anatomy", "mmlu_clinical_knowledge", "mmlu_college_medicine",
            "mmlu_medical_genetics", "mmlu_professional_medicine", "ceval-valid_clinical_medicine", "cmmlu_clinical_knowledge",
        ),
    ),
    "finance": Domain(
        ("fiqa",),
        (
            "mmlu_econometrics", "mmlu_high_school_macroeconomics", "mmlu_high_school_microeconomics", "mmlu_professional_accounting",
            "ceval-valid_accountant", "ceval-valid_tax_accountant", "cmmlu_economics", "cmmlu_professional_accounting",
            "tmmluplus_finance_banking",
        ),
    ),
    "education": Domain(
        ("school", "openbookqa"),
        (
            "arc_easy", "sciq", "mmlu_high_school_biology", "mmlu_high_school_chemistry", "mmlu_high_school_mathematics",
            "mmlu_high_school_physics", "ceval-valid_education_science", "ceval-valid_teacher_qualification", "cmmlu_education",
        ),
    ),
    "manufacturing": Domain(
        (),
        (
            "mmlu_electrical_engineering", "ceval-valid_electrical_engineer", "ceval-valid_metrology_engineer",
            "cmmlu_electrical_engineering", "kmmlu_industrial_engineer",
            "kmmlu_machine_design_and_manufacturing", "kmmlu_mechanical_engineering", "tmmluplus_mechanical",
        ),
    ),
}  # fmt: skip


def domains_of(task: str) -> tuple[str, ...]:
    """Return the domains that a task belongs to, by its name."""
    return tuple(name for name, domain in DOMAINS.items() if task in (*domain.comes, *domain.hub))
