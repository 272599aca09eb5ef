/** What to do about stages that Tandem does not convert. */

const inSql =
  'Take the stage out and say what it does in tandem.json, as { "sql": ... } (DuckDB) in place of its columns.';
const asText =
  'Texts become vectors of thousands of values: let Spark write the vectors as lists of numbers, and save the pipeline that starts there.';
const otherModel = 'Export the model to ONNX with onnxmltools (convert_sparkml), and write tandem.json beside it.';
const ofLightGbm = 'Write the trees with model.saveNativeModel(path), and take them with tandem init --lightgbm.';
const ofXgboost =
  'Write the trees with model.get_booster().save_model("model.json") (nativeBooster in Scala), and take them with tandem init --xgboost.';
const asLists =
  'Let Spark write the vector as a list of numbers (vector_to_array), and save the pipeline that starts there.';

const remedies: Readonly<Record<string, string>> = {
  SQLTransformer: inSql,
  RFormulaModel: 'Fit the pipeline with StringIndexer, OneHotEncoder and VectorAssembler, which RFormula stands for.',
  Tokenizer: asText,
  RegexTokenizer: asText,
  StopWordsRemover: asText,
  NGram: asText,
  HashingTF: asText,
  CountVectorizerModel: asText,
  IDFModel: asText,
  Word2VecModel: asText,
  DCT: asLists,
  Interaction: asLists,
  PolynomialExpansion: asLists,
  BisectingKMeansModel: otherModel,
  GaussianMixtureModel: otherModel,
  IsotonicRegressionModel: otherModel,
  LightGBMClassificationModel: ofLightGbm,
  LightGBMRegressionModel: ofLightGbm,
  LightGBMRankerModel: ofLightGbm,
  SparkXGBClassifierModel: ofXgboost,
  SparkXGBRegressorModel: ofXgboost,
  XGBoostClassificationModel: ofXgboost,
  XGBoostRegressionModel: ofXgboost,
};

/** @param kind class of the stage without its package */
export function remedyFor(kind: string): string {
  return (
    remedies[kind] ?? `Save the pipeline without ${kind}, and let what reads its columns read columns of the shards.`
  );
}
